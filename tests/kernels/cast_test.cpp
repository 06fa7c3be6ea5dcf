#include "kernels/include/cast.h"

#include <gtest/gtest.h>

#include "tests/reference/cast.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

// Numbers that f32 holds, of every size, so that the way through f32 rounds nothing twice.
Values numbers(const Shape& shape) {
  Values x = with_special_values(random_tensor(shape, DType::f32, 1).values());
  for (std::size_t i = 1; i < x.size(); i += 3)
    x[i] = std::ldexp(x[i], static_cast<int>(i % 60) - 40);
  return rounded(x, DType::f32);
}

TEST(Cast, RoundsOnceToNearestEven) {
  TestContext c(2);
  for (const DType from : storage_types())
    for (const DType to : storage_types())
      for (const Shape& shape : elementwise_shapes()) {
        SCOPED_TRACE(std::string(name_of(from)) + " to " + std::string(name_of(to)));
        const OwnedTensor x(shape, from, numbers(shape));
        const OwnedTensor y(shape, to), again(shape, to);
        cast(c, {.x = x, .y = y});
        EXPECT_TRUE(elementwise_close_to(y, reference::cast(x.values(), to), 0));
        cast(c, {.x = x, .y = again});
        EXPECT_TRUE(bitwise_equal(y, again));
      }
}

TEST(Cast, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor x({4}, DType::f32), other({5}, DType::f64), bytes({4}, DType::u8);
  EXPECT_THROW(cast(c, {.x = x, .y = other}), Error);
  EXPECT_THROW(cast(c, {.x = x, .y = bytes}), Error);
}

}  // namespace
}  // namespace kiln::test
