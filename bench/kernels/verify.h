// Helpers of the op benchmarks: tensors shared by a case's functions, and verdicts in words.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/harness.h"
#include "bench/shapes.h"
#include "tests/support/compare.h"
#include "tests/support/random_tensor.h"

namespace kiln::bench {

using test::OwnedTensor;
using test::random_tensor;
using test::Values;

// `shape` with its first extent replaced.
inline Shape with_count(const Shape& shape, std::int64_t count) {
  std::int64_t extents[Shape::kMaxRank] = {};
  for (int axis = 0; axis < shape.rank(); ++axis) extents[axis] = shape[axis];
  extents[0] = count;
  return Shape(std::span<const std::int64_t>(extents, static_cast<std::size_t>(shape.rank())));
}

// Cheap random floats for large inputs: one Philox block in 64, scaled.
inline std::shared_ptr<OwnedTensor> shared_random(const Shape& shape, std::uint64_t seed,
                                                  float low = -1, float high = 1) {
  auto tensor = std::make_shared<OwnedTensor>(shape, DType::f32);
  const OwnedTensor some = random_tensor({4099}, DType::f32, seed, low, high);
  float* data = tensor->host<float>().data();
  const float* from = some.host<float>().data();
  for (std::int64_t i = 0; i < shape.element_count(); ++i) data[i] = from[i % 4099];
  return tensor;
}

inline std::shared_ptr<OwnedTensor> shared_output(const Shape& shape, DType dtype = DType::f32) {
  return std::make_shared<OwnedTensor>(shape, dtype);
}

// Empty, or by how much `got` misses `wanted`.
inline std::string fault_of(const OwnedTensor& got, const Values& wanted, double tolerance) {
  const testing::AssertionResult verdict = test::close_to(got, wanted, tolerance);
  return verdict ? "" : verdict.message();
}

inline double bytes_of(const Tensor& tensor) { return static_cast<double>(tensor.size_bytes()); }

}  // namespace kiln::bench
