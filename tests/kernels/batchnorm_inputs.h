// Inputs that the batch normalisation ops are tested on.
#pragma once

#include <vector>

#include "tests/support/random_tensor.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {

inline std::vector<Shape> batchnorm_shapes() {
  const std::int64_t images = kWithSanitizer ? 1 : 6;  // of the large ones
  return {{2, 1},
          {5, 3},
          {4, 3, 3, 6},
          {7, 10},
          {3, 5, 5, 16},
          {2, 7, 5, 17},
          {2, 4, 4, 64},
          {1, 9, 9, 100},
          {images, 31, 31, 24},
          {33, 512},
          {2, 3, 3, 1},
          {images + 3, 8, 8, 130},
          {3000, 2},
          {3 * images + 2, 20, 20, 8}};
}

// x, gamma, beta and so on of one shape; the mean of x is far from 0, which naive sums of squares
// would not survive.
struct BatchnormInputs {
  OwnedTensor x, gamma, beta, running_mean, running_var;

  BatchnormInputs(const Shape& shape, DType dtype)
      : x(random_tensor(shape, dtype, 1, 9, 11)),
        gamma(random_tensor({shape[-1]}, accumulation_type(dtype), 2, 0.5, 2)),
        beta(random_tensor({shape[-1]}, accumulation_type(dtype), 3)),
        running_mean(random_tensor({shape[-1]}, accumulation_type(dtype), 4)),
        running_var(random_tensor({shape[-1]}, accumulation_type(dtype), 5, 0.5, 2)) {}
};

inline std::size_t channels_of(const Shape& shape) { return static_cast<std::size_t>(shape[-1]); }

// A tensor on cache lines, large enough that results of its size go past the caches. Its rows are
// no whole vectors; two of them are, and one is left over.
class LargeTensor {
 public:
  LargeTensor() : bytes_(Device{}, static_cast<std::size_t>(shape().element_count()) * 4) {
    float* to = view().data<float>();
    for (std::int64_t i = 0; i < shape().element_count(); ++i)
      to[i] = static_cast<float>(i * 7919 % 1000) / 1000 - 0.5f;
  }
  static Shape shape() { return {349'527, 24}; }
  Tensor view() { return rows(0, shape()[0]); }
  Tensor rows(std::int64_t first, std::int64_t count) {
    return {bytes_.data() + first * shape()[1] * 4, {count, shape()[1]}, DType::f32, Device{}};
  }

 private:
  Buffer bytes_;
};

}  // namespace kiln::test
