// Results into bodies of replies.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kiln::payload {

enum class ReplyFormat { json, npy, csv };

struct ReplyType {
  ReplyFormat format = ReplyFormat::json;
  bool single = false;  // npy: f32 instead of f64
  // What the reply's Content-Type says: the bare media type.
  std::string_view content_type() const;
};

// The first type of the list that is written here; `any` where the list is empty, and for `*/*`.
// `q` only strikes out, where it is 0: between the others the order of the list decides.
// npy comes as float64 as the reference toolkit writes it; `application/x-npy; dtype=float32` asks
// for half of the bytes. nullopt: nothing in the list is written here.
std::optional<ReplyType> choose_reply_type(std::string_view accept, const ReplyType& any = {});

// `values` is [rows, columns]. JSON and CSV write the shortest digits that read back as the same
// double that the f32 widens to, as Python does. JSON: nested lists; with `predictions` within
// {"predictions": ...}; null for what is not finite. CSV: one row a line, each with its line's end;
// nan, inf and -inf. npy: version 1.0, C order, byte for byte what numpy.save writes.
std::string encode_outputs(std::span<const float> values, std::int64_t rows, std::int64_t columns,
                           const ReplyType& type, bool predictions = false);

}  // namespace kiln::payload
