// Tensors of reproducible random numbers.
#pragma once

#include "engine/core/rng.h"
#include "tests/support/guards.h"

namespace kiln::test {

// Uniform in [low, high). f32 and f64 tensors of one seed hold the same numbers.
inline OwnedTensor random_tensor(const Shape& shape, DType dtype, std::uint64_t seed,
                                 float low = -1, float high = 1) {
  OwnedTensor tensor(shape, dtype);
  RandomSequence sequence(seed, RandomStream::synthesise, 0);
  for (std::int64_t i = 0; i < tensor.element_count(); ++i)
    tensor.set(i, static_cast<double>(sequence.next_uniform(low, high)));
  return tensor;
}

// As random_tensor, but at least `gap` away from 0: for functions with a kink there.
inline OwnedTensor random_tensor_off_zero(const Shape& shape, DType dtype, std::uint64_t seed,
                                          double gap) {
  OwnedTensor tensor = random_tensor(shape, dtype, seed);
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
    const double value = tensor.at(i);
    tensor.set(i, value < 0 ? value - gap : value + gap);
  }
  return tensor;
}

// All different and at least `gap` apart, in random order: for maxima without ties.
inline OwnedTensor random_permutation_tensor(const Shape& shape, DType dtype, std::uint64_t seed,
                                             double gap) {
  OwnedTensor tensor(shape, dtype);
  const std::int64_t count = tensor.element_count(), middle = count / 2;
  for (std::int64_t i = 0; i < count; ++i) tensor.set(i, gap * static_cast<double>(i - middle));
  RandomSequence sequence(seed, RandomStream::synthesise, 1);
  for (std::int64_t i = count - 1; i > 0; --i) {
    const std::int64_t j = sequence.next_below(static_cast<std::uint32_t>(i + 1));
    const double value = tensor.at(i);
    tensor.set(i, tensor.at(j));
    tensor.set(j, value);
  }
  return tensor;
}

// Integers in [0, bound): labels (i32) and pictures (u8, bound 256).
inline OwnedTensor random_integers(const Shape& shape, DType dtype, std::uint64_t seed,
                                   std::uint32_t bound) {
  OwnedTensor tensor(shape, dtype);
  RandomSequence sequence(seed, RandomStream::synthesise, 2);
  for (std::int64_t i = 0; i < tensor.element_count(); ++i)
    tensor.set(i, sequence.next_below(bound));
  return tensor;
}

}  // namespace kiln::test
