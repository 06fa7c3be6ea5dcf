#include "kernels/include/find_nonfinite.h"

#include <gtest/gtest.h>

#include "tests/reference/find_nonfinite.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

// The one bad element stands everywhere: in every place of a pack and in the tail.
TEST(FindNonfinite, SeesOneElementAnywhere) {
  TestContext c;
  const double inf = std::numeric_limits<double>::infinity();
  for (const DType dtype : storage_types())
    for (const std::int64_t count : {1, 8, 19})
      for (const double bad : {inf, -inf, std::nan("")})
        for (std::int64_t at = -1; at < count; ++at) {
          // 65504 is the largest f16; sums of it would overflow, which is no fault of x.
          Values x(static_cast<std::size_t>(count), 65504);
          if (at >= 0) x[static_cast<std::size_t>(at)] = bad;
          const OwnedTensor in({count}, dtype, x);
          for (const double before : {0.0, 1.0}) {
            const OwnedTensor flag({1}, DType::f32, {before});
            find_nonfinite(c, {.x = in, .flag = flag});
            EXPECT_TRUE(elementwise_close_to(flag, {reference::find_nonfinite(x, before)}, 0))
                << name_of(dtype) << ", " << at << " of " << count;
          }
        }
}

TEST(FindNonfinite, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor x({4}, DType::f32), wide({1}, DType::f64), two({2}, DType::f32);
  EXPECT_THROW(find_nonfinite(c, {.x = x, .flag = wide}), Error);
  EXPECT_THROW(find_nonfinite(c, {.x = x, .flag = two}), Error);
}

}  // namespace
}  // namespace kiln::test
