// What the readers of all formats share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/error.h"
#include "engine/data/dataset.h"

namespace kiln::formats {

// Limits on what a data set may claim before memory is taken for it.
inline constexpr std::int64_t kMaxSamples = std::int64_t{1} << 31;
inline constexpr std::uint64_t kMaxDatasetBytes = std::uint64_t{1} << 36;
inline constexpr std::size_t kMaxClasses = 65'536;
inline constexpr std::uint64_t kMaxTextBytes = 1 << 20;

[[noreturn]] inline void refuse(const Path& path, std::string_view wrong,
                                std::string_view mend = {}) {
  throw Error(ErrorKind::input, printable(path.string(), 4096), wrong, mend);
}

// Memory for `count` pictures, after the limits were checked.
Buffer image_buffer(const Path& path, std::int64_t count, std::int64_t image_bytes);

// Name, origin and the synthetic mark of a data set of the format called `format` that lies in
// `folder` (where a marker file is looked for); `path` is what the person named.
DatasetInfo describe(std::string_view format, const Path& path, const Path& folder,
                     std::vector<std::string> class_names);

// One name per line; empty lines are skipped. Throws Error (input) for control characters,
// duplicates and too many.
std::vector<std::string> parse_class_names(const Path& path, std::string_view text);

std::vector<std::string> to_strings(std::span<const std::string_view> names);

// The folder of a split, by the first of its usual names that is there: train/ or training/, test/,
// testing/, val/, valid/ or validation/. Empty where there is none.
Path split_folder(const Path& folder, Split split);

bool is_file(const Path& path);
bool is_folder(const Path& path);

}  // namespace kiln::formats
