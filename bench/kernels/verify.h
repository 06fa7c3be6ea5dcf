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

// Cheap random numbers for large inputs: 4099 of them, again and again.
inline std::shared_ptr<OwnedTensor> shared_random(const Shape& shape, std::uint64_t seed,
                                                  float low = -1, float high = 1,
                                                  DType dtype = element_type()) {
  auto tensor = std::make_shared<OwnedTensor>(shape, dtype);
  const OwnedTensor some = random_tensor({4099}, dtype, seed, low, high);
  visit_storage(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* data = tensor->host<T>().data();
    const T* from = some.host<const T>().data();
    for (std::int64_t i = 0; i < shape.element_count(); ++i) data[i] = from[i % 4099];
  });
  return tensor;
}

inline std::shared_ptr<OwnedTensor> shared_output(const Shape& shape,
                                                  DType dtype = element_type()) {
  return std::make_shared<OwnedTensor>(shape, dtype);
}

// Where gradients have 16 bits an optimizer also writes its weights in them.
inline std::shared_ptr<OwnedTensor> shared_copy(const Shape& shape) {
  return is_16_bit(element_type()) ? shared_output(shape) : nullptr;
}
inline Tensor view_of(const std::shared_ptr<OwnedTensor>& optional) {
  return optional ? optional->view() : Tensor{};
}

// Half a unit in the last place of a 16-bit result, relative to it; 0 for wider ones.
inline double rounding_of(DType dtype) {
  if (dtype == DType::bf16) return 0x1p-8;
  return dtype == DType::f16 ? 0x1p-11 : 0;
}

// Empty, or by how much `got` misses `wanted`; the rounding of 16 bits comes on top.
inline std::string fault_of(const OwnedTensor& got, const Values& wanted, double tolerance) {
  const testing::AssertionResult verdict =
      test::close_to(got, wanted, tolerance + rounding_of(got.dtype()));
  return verdict ? "" : verdict.message();
}

inline double bytes_of(const OwnedTensor& tensor) {
  return static_cast<double>(tensor.size_bytes());
}
inline double bytes_of(const std::shared_ptr<OwnedTensor>& optional) {
  return optional ? bytes_of(*optional) : 0;
}

}  // namespace kiln::bench
