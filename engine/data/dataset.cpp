#include "engine/data/dataset.h"

#include <array>
#include <utility>

namespace kiln {

std::string_view name_of(Split split) { return split == Split::train ? "training" : "test"; }

Dataset::Dataset(DatasetInfo info, Buffer images, std::vector<std::int32_t> labels)
    : info_(std::move(info)), images_(std::move(images)), labels_(std::move(labels)) {
  KILN_CHECK(info_.height >= 0 && info_.width >= 0 && info_.channels >= 0);
  KILN_CHECK(images_.size_bytes() >= static_cast<std::size_t>(size() * image_bytes()));
}

std::span<const std::string_view> cifar10_class_names() {
  static constexpr std::array<std::string_view, 10> kNames = {
      "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  return kNames;
}

}  // namespace kiln
