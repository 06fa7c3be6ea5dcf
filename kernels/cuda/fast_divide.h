// Whole-number division by a number that the host knows: one multiplication and a shift.
#pragma once

#include <cstdint>

#include "kernels/cuda/gpu.h"

namespace kiln::cuda {

// n / d for n < 2^31 and 0 < d < 2^31. With s the smallest number for which d <= 2^s and
// m = floor(2^32 (2^s - d) / d) + 1, n / d = (floor(n m / 2^32) + n) / 2^s.
// Source    Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994.
class FastDivide {
 public:
  FastDivide() = default;
  explicit FastDivide(std::int64_t divisor) : divisor_(static_cast<std::uint32_t>(divisor)) {
    while ((std::uint64_t{1} << shift_) < divisor_) ++shift_;
    const std::uint64_t rest = (std::uint64_t{1} << shift_) - divisor_;
    multiplier_ = static_cast<std::uint32_t>((rest << 32) / divisor_ + 1);
  }

  __device__ std::uint32_t quotient(std::uint32_t n) const {
    const auto high = static_cast<std::uint32_t>(std::uint64_t{n} * multiplier_ >> 32);
    return (high + n) >> shift_;
  }
  __device__ std::uint32_t divisor() const { return divisor_; }

 private:
  std::uint32_t divisor_ = 1, multiplier_ = 1, shift_ = 0;
};

}  // namespace kiln::cuda
