// The header of a NumPy file (.npy), versions 1.0, 2.0 and 3.0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace kiln::payload::detail {

struct NpyHeader {
  static constexpr std::size_t kMaxRank = 8;

  char kind = 'f';  // f: float, u: unsigned, i: signed, b: bool
  std::size_t item_bytes = 4;
  bool big_endian = false;
  bool fortran_order = false;
  std::array<std::int64_t, kMaxRank> extent_array = {};
  std::size_t rank = 0;
  std::size_t data_offset = 0;  // from the body's first byte

  std::span<const std::int64_t> extents() const { return std::span(extent_array).first(rank); }
};

// Takes the type's list of decode.h and no more: no objects, no records. Throws Refusal (400).
NpyHeader parse_npy_header(std::string_view body);

}  // namespace kiln::payload::detail
