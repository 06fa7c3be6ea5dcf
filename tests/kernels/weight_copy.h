// The CPU's mixed precision, which all optimizers share: an f32 gradient and a bf16 copy of the
// weights.
#pragma once

#include <gtest/gtest.h>
#include <vector>

#include "tests/support/check_op.h"
#include "tests/support/random_tensor.h"

namespace kiln::test {

// `step(context, w, grad, first, second, copy)` updates w, with two tensors of state, and writes
// `copy` where it is not empty. The update is that without a copy; the copy is w rounded.
template <class Step>
void expect_copy_is_weight_rounded(const Step& step,
                                   const std::vector<Shape>& shapes = elementwise_shapes()) {
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(to_string(shape));
    const OwnedTensor grad = random_tensor(shape, DType::f32, 3), copy(shape, DType::bf16);
    const auto updated = [&](const Tensor& written) {
      TestContext c(2);
      OwnedTensor w = random_tensor(shape, DType::f32, 1);
      const OwnedTensor first = random_tensor(shape, DType::f32, 2, 0, 1);
      const OwnedTensor second = random_tensor(shape, DType::f32, 4, 0, 1);
      step(c, w, grad, first, second, written);
      return w;
    };
    const OwnedTensor plain = updated({}), copied = updated(copy);
    EXPECT_TRUE(bitwise_equal(plain, copied));
    EXPECT_TRUE(elementwise_close_to(copy, rounded(plain.values(), DType::bf16), 0));
    const OwnedTensor wrong(shape, DType::f16);
    EXPECT_THROW(updated(wrong), Error);
  }
}

}  // namespace kiln::test
