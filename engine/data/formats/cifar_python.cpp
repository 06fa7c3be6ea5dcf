#include "engine/data/formats/cifar_python.h"

#include <optional>

#include "engine/data/formats/cifar_binary.h"
#include "engine/data/formats/common.h"
#include "engine/data/formats/numpy_calls.h"

namespace kiln::formats {
namespace {

using Kind = PickleValue::Kind;

std::span<const std::uint8_t> as_u8(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

std::vector<std::string> names_of(const Path& folder) {
  const Path path = folder / "batches.meta";
  if (!is_file(path)) return to_strings(cifar10_class_names());
  const std::vector<std::byte> bytes = read_file(path, kMaxTextBytes);
  return cifar_label_names(path, as_u8(bytes));
}

}  // namespace

CifarPickle::CifarPickle(const Path& path, std::span<const std::uint8_t> bytes)
    : path_(path), pickle_(path, bytes, NumpyCalls()) {
  data_ = pickle_.find(pickle_.root(), "data");
  labels_ = pickle_.find(pickle_.root(), "labels");
  if (data_ == nullptr || data_->kind != Kind::array) refuse(path, "has no array \"data\"");
  if (labels_ == nullptr || labels_->kind != Kind::list) refuse(path, "has no list \"labels\"");
  size_ = static_cast<std::int64_t>(labels_->items.size());
  const bool fits = data_->items.size() == 2 && data_->integer == 0 &&
                    pickle_.at(data_->items[0]).integer == size_ &&
                    pickle_.at(data_->items[1]).integer == kCifarImageBytes;
  if (!fits)
    refuse(path, "has an array \"data\" that is not " + std::to_string(size_) +
                     " pictures (one per label) of 3072 bytes");
  if (size_ == 0) refuse(path, "holds no pictures");
}

void CifarPickle::decode(std::int64_t class_count, std::span<std::int32_t> labels,
                         std::uint8_t* images) const {
  const auto* planes = reinterpret_cast<const std::uint8_t*>(data_->bytes.data());
  for (std::int64_t i = 0; i < size_; ++i) {
    const PickleValue& label = pickle_.at(labels_->items[static_cast<std::size_t>(i)]);
    if (label.kind != Kind::integer || label.integer < 0 || label.integer >= class_count)
      refuse(path_, "picture " + std::to_string(i) + " has a label that is not in 0 to " +
                        std::to_string(class_count - 1));
    labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(label.integer);
    planes_to_pixels(planes + i * kCifarImageBytes, images + i * kCifarImageBytes);
  }
}

std::vector<std::string> cifar_label_names(const Path& path, std::span<const std::uint8_t> bytes) {
  const Pickle pickle(path, bytes, NumpyCalls());
  const PickleValue* names = pickle.find(pickle.root(), "label_names");
  if (names == nullptr || names->kind != Kind::list) refuse(path, "has no list \"label_names\"");
  std::string text;
  for (const PickleId id : names->items) {
    const PickleValue& name = pickle.at(id);
    if (!name.is_string() || name.bytes.find('\n') != std::string_view::npos || name.bytes.empty())
      refuse(path, "has a class name that is not plain text");
    if (text.size() + name.bytes.size() > kMaxTextBytes) refuse(path, "has too many class names");
    text += std::string(name.bytes) + "\n";
  }
  std::vector<std::string> parsed = parse_class_names(path, text);
  if (parsed.empty()) refuse(path, "names no classes");
  return parsed;
}

bool is_cifar_python(const Path& folder) {
  return is_file(folder / "data_batch_1") || is_file(folder / "test_batch");
}

Dataset load_cifar_python(const Path& path, const Path& folder, Split split) {
  DatasetInfo info = describe("CIFAR-10 Python batches", path, folder, names_of(folder));
  info.height = info.width = kCifarSide;
  info.channels = 3;
  const auto class_count = static_cast<std::int64_t>(info.class_names.size());
  const std::vector<std::string> names = cifar_file_names(split, "");
  std::vector<std::int32_t> labels;
  Buffer images;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Path file = folder / names[i];
    if (!is_file(file)) refuse(file, "is missing", "get the whole data set again");
    const MappedFile mapped(file);
    if (mapped.bytes().size() > kMaxPickleBytes) refuse(file, "is too large for a batch");
    const CifarPickle batch(file, as_u8(mapped.bytes()));
    // The batches of a set are equally large, so that memory is taken once.
    if (i == 0)
      images = image_buffer(file, batch.size() * static_cast<std::int64_t>(names.size()),
                            kCifarImageBytes);
    const std::size_t first = labels.size();
    labels.resize(first + static_cast<std::size_t>(batch.size()));
    if (first != i * static_cast<std::size_t>(batch.size()))
      refuse(file, "has another number of pictures than the batches before it");
    batch.decode(class_count, std::span(labels).subspan(first),
                 reinterpret_cast<std::uint8_t*>(images.data()) +
                     static_cast<std::int64_t>(first) * kCifarImageBytes);
  }
  return Dataset(std::move(info), std::move(images), std::move(labels));
}

}  // namespace kiln::formats
