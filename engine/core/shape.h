// Shape: up to five extents by value, no heap. Images are [N, H, W, C].
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "engine/core/check.h"

namespace kiln {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  constexpr Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents)
      : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents) {
    KILN_CHECK(extents.size() <= kMaxRank);
    for (const std::int64_t extent : extents) {
      KILN_CHECK(extent >= 0);
      extents_[static_cast<std::size_t>(rank_++)] = extent;
    }
  }

  int rank() const { return rank_; }
  // Extent `axis`; a negative axis counts from the end.
  std::int64_t operator[](int axis) const {
    const int at = axis < 0 ? axis + rank_ : axis;
    KILN_CHECK(at >= 0 && at < rank_);
    return extents_[static_cast<std::size_t>(at)];
  }
  // Product of the extents; 1 for rank 0.
  std::int64_t element_count() const {
    std::int64_t count = 1;
    for (const std::int64_t extent : extents()) count *= extent;
    return count;
  }
  std::span<const std::int64_t> extents() const {
    return {extents_.data(), static_cast<std::size_t>(rank_)};
  }
  // No call of memcmp: every op compares a handful of shapes in every run.
  bool operator==(const Shape& other) const {
    std::int64_t difference = rank_ ^ other.rank_;
    for (std::size_t i = 0; i < extents_.size(); ++i) difference |= extents_[i] ^ other.extents_[i];
    return difference == 0;
  }

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

// "[64, 32, 32, 3]"
std::string to_string(const Shape& shape);

}  // namespace kiln
