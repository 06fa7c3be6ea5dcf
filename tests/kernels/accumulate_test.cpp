#include "kernels/include/accumulate.h"

#include <gtest/gtest.h>

#include "tests/reference/accumulate.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

TEST(Accumulate, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes()) {
    SCOPED_TRACE(to_string(shape));
    const Values x = with_special_values(random_tensor(shape, DType::f32, 1).values());
    const auto run = [&](Context& c, DType dtype) {
      const OwnedTensor in(shape, dtype, x);
      OwnedTensor y = random_tensor(shape, dtype, 2);
      accumulate(c, {.x = in, .y = y});
      return results_of(std::move(y));
    };
    // One rounded addition, relative to the result.
    const auto wanted = [&](DType dtype) {
      return std::vector<Values>{
          reference::accumulate(rounded(x, dtype), random_tensor(shape, dtype, 2).values())};
    };
    check_op_in_all_types(run, wanted, {6e-8, 1.2e-16, true});
  }
}

TEST(Accumulate, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor x({4}, DType::f32), y({2, 2}, DType::f32);
  EXPECT_THROW(accumulate(c, {.x = x, .y = y}), Error);
}

}  // namespace
}  // namespace kiln::test
