#include "engine/data/formats/idx.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "engine/data/formats/common.h"

namespace kiln::formats {
namespace {

std::vector<std::int64_t> read_header(const Path& path, ByteSource& source) {
  std::array<std::uint8_t, 4> magic;
  read_exactly(source, path, magic);
  if (magic[0] != 0 || magic[1] != 0 || magic[3] == 0 || magic[3] > 4)
    refuse(path, "is no IDX file: its first four bytes are wrong");
  if (magic[2] != 0x08) refuse(path, "holds values that are not bytes");
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < magic[3]; ++axis) {
    std::array<std::uint8_t, 4> b;
    read_exactly(source, path, b);
    extents.push_back(std::int64_t{b[0]} << 24 | b[1] << 16 | b[2] << 8 | b[3]);
  }
  return extents;
}

void expect_end(const Path& path, ByteSource& source) {
  std::uint8_t byte = 0;
  if (source.read(std::span(&byte, 1)) != 0)
    refuse(path, "has more bytes than its header says", "get it again");
}

// Source bytes straight into lazily committed memory: a header that lies costs address space only.
void read_pixels(const Path& path, ByteSource& source, IdxImages& images) {
  const std::int64_t bytes = images.height * images.width * images.channels;
  images.pixels = image_buffer(path, images.count, bytes);
  std::span<std::uint8_t> out(reinterpret_cast<std::uint8_t*>(images.pixels.data()),
                              static_cast<std::size_t>(images.count * bytes));
  constexpr std::size_t kPiece = 1 << 20;
  for (; !out.empty(); out = out.subspan(std::min(kPiece, out.size())))
    read_exactly(source, path, out.first(std::min(kPiece, out.size())));
}

std::optional<Path> first_file(const Path& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    for (const char* suffix : {"", ".gz"})
      if (is_file(folder / (name + suffix))) return folder / (name + suffix);
  return std::nullopt;
}

std::vector<std::string> class_names_of(const Path& folder, std::int32_t largest_label) {
  const Path path = folder / "classes.txt";
  if (is_file(path)) return parse_class_names(path, read_text_file(path, kMaxTextBytes));
  std::vector<std::string> names;
  for (std::int32_t i = 0; i <= std::max(9, largest_label); ++i) names.push_back(std::to_string(i));
  return names;
}

std::int32_t largest_label(std::span<const std::int32_t> labels) {
  return labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end());
}

std::vector<std::int32_t> labels_of(const IdxFiles& files) {
  const auto source = open_source(files.labels, kMaxDatasetBytes);
  return read_idx_labels(files.labels, *source);
}

}  // namespace

std::optional<IdxFiles> find_idx(const Path& folder, Split split) {
  const bool train = split == Split::train;
  for (const Path& place : {folder, folder / (train ? "training" : "testing"),
                            folder / (train ? "train" : "test"), split_folder(folder, split)})
    for (const char* stem : {train ? "train" : "t10k", train ? "training" : "test"}) {
      if (place.empty()) continue;
      const std::string s = stem;
      const auto images = first_file(
          place, {s + "-images-idx3-ubyte", s + "-images.idx3-ubyte", s + "-images-idx4-ubyte"});
      if (!images) continue;
      const auto labels = first_file(place, {s + "-labels-idx1-ubyte", s + "-labels.idx1-ubyte"});
      if (!labels) refuse(place / (s + "-labels-idx1-ubyte"), "is missing");
      return IdxFiles{*images, *labels};
    }
  return std::nullopt;
}

bool is_idx(const Path& folder) {
  return find_idx(folder, Split::train) || find_idx(folder, Split::test);
}

IdxImages read_idx_images(const Path& path, ByteSource& source) {
  const std::vector<std::int64_t> extents = read_header(path, source);
  if (extents.size() != 3 && extents.size() != 4) refuse(path, "holds no pictures");
  IdxImages images{.count = extents[0], .height = extents[1], .width = extents[2]};
  images.channels = extents.size() == 4 ? extents[3] : 1;
  if (images.count < 1) refuse(path, "holds no pictures");
  if (images.channels != 1 && images.channels != 3) refuse(path, "has neither grey nor RGB pixels");
  if (images.height < 1 || images.width < 1 || images.height > 16'384 || images.width > 16'384)
    refuse(path, "claims pictures of " + std::to_string(images.height) + "x" +
                     std::to_string(images.width) + " pixels");
  read_pixels(path, source, images);
  expect_end(path, source);
  return images;
}

std::vector<std::int32_t> read_idx_labels(const Path& path, ByteSource& source) {
  const std::vector<std::int64_t> extents = read_header(path, source);
  if (extents.size() != 1) refuse(path, "holds no labels");
  const std::vector<std::uint8_t> bytes =
      read_rest(source, path, static_cast<std::uint64_t>(extents[0]));
  if (static_cast<std::int64_t>(bytes.size()) != extents[0])
    refuse(path, "is cut short", "get it again");
  return {bytes.begin(), bytes.end()};
}

Dataset load_idx(const Path& path, const Path& folder, Split split) {
  const auto files = find_idx(folder, split);
  if (!files)
    refuse(path, "has no " + std::string(name_of(split)) + " pictures",
           split == Split::train ? "train-images-idx3-ubyte is missing"
                                 : "t10k-images-idx3-ubyte is missing");
  std::vector<std::int32_t> labels = labels_of(*files);
  const auto source = open_source(files->images, kMaxDatasetBytes);
  IdxImages images = read_idx_images(files->images, *source);
  if (images.count != static_cast<std::int64_t>(labels.size()))
    refuse(files->labels, "has " + std::to_string(labels.size()) + " labels for " +
                              std::to_string(images.count) + " pictures");
  // Both splits decide how many classes there are, so that both say the same.
  std::int32_t largest = largest_label(labels);
  const auto other = find_idx(folder, split == Split::train ? Split::test : Split::train);
  if (other) largest = std::max(largest, largest_label(labels_of(*other)));
  DatasetInfo info = describe("IDX", path, folder, class_names_of(folder, largest));
  if (largest >= static_cast<std::int32_t>(info.class_names.size()))
    refuse(files->labels, "has the label " + std::to_string(largest) + " of " +
                              std::to_string(info.class_names.size()) + " classes");
  info.height = images.height;
  info.width = images.width;
  info.channels = images.channels;
  return Dataset(std::move(info), std::move(images.pixels), std::move(labels));
}

}  // namespace kiln::formats
