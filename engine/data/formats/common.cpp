#include "engine/data/formats/common.h"

#include <algorithm>
#include <set>
#include <system_error>

namespace kiln::formats {

Buffer image_buffer(const Path& path, std::int64_t count, std::int64_t image_bytes) {
  if (count > kMaxSamples || static_cast<std::uint64_t>(image_bytes) > kMaxDatasetBytes ||
      (image_bytes > 0 && static_cast<std::uint64_t>(count) >
                              kMaxDatasetBytes / static_cast<std::uint64_t>(image_bytes)))
    refuse(path, "holds more than the limit of " + std::to_string(kMaxDatasetBytes >> 30) +
                     " GiB of pictures");
  return Buffer(Device{}, static_cast<std::size_t>(count * image_bytes));
}

DatasetInfo describe(std::string_view format, const Path& path, const Path& folder,
                     std::vector<std::string> class_names) {
  DatasetInfo info;
  info.synthetic = is_file(folder / kSyntheticMarker);
  const auto cifar = cifar10_class_names();
  const bool is_cifar =
      std::equal(class_names.begin(), class_names.end(), cifar.begin(), cifar.end());
  Path named = path.lexically_normal();
  if (!named.has_filename()) named = named.parent_path();
  info.name = info.synthetic ? "synthetic stand-in"
              : is_cifar     ? "CIFAR-10"
                             : printable(named.filename().string());
  info.origin = std::string(info.synthetic ? "synthetic stand-in drawn by kiln data synth, " : "") +
                std::string(format) + ", " + printable(path.string(), 4096);
  info.class_names = std::move(class_names);
  return info;
}

std::vector<std::string> parse_class_names(const Path& path, std::string_view text) {
  std::vector<std::string> names;
  std::set<std::string_view> seen;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (line.size() > 256 || printable(line, 1024) != line)
      refuse(path, "has a class name that is not plain text: \"" + printable(line) + "\"");
    if (!seen.insert(line).second)
      refuse(path, "names the class \"" + std::string(line) + "\" twice");
    if (names.size() == kMaxClasses) refuse(path, "names too many classes");
    names.emplace_back(line);
  }
  return names;
}

std::vector<std::string> to_strings(std::span<const std::string_view> names) {
  return {names.begin(), names.end()};
}

Path split_folder(const Path& folder, Split split) {
  constexpr std::string_view kTrain[] = {"train", "training"};
  constexpr std::string_view kTest[] = {"test", "testing", "val", "valid", "validation"};
  for (const std::string_view name :
       split == Split::train ? std::span<const std::string_view>(kTrain) : std::span(kTest))
    if (is_folder(folder / name)) return folder / name;
  return {};
}

bool is_file(const Path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

bool is_folder(const Path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

}  // namespace kiln::formats
