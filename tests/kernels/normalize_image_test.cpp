#include "kernels/include/normalize_image.h"

#include <gtest/gtest.h>

#include "tests/reference/normalize_image.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

constexpr std::array<double, 4> kMean{0.4914, 0.4822, 0.4465, 0.5};
constexpr std::array<double, 4> kInvStd{1 / 0.2470, 1 / 0.2435, 1 / 0.2616, 2};

std::vector<Shape> picture_shapes() {
  return {{1, 1, 1, 1}, {1, 1, 1, 3},   {2, 5, 7, 3},   {3, 28, 28, 1},
          {2, 9, 3, 4}, {2, 33, 31, 2}, {20, 32, 32, 3}};
}

// Every result within 2 ulp of the exact one, relative to itself: the difference x - 255 mean is
// formed from a mean in two parts, so nothing cancels. The oracle's own cancellation bounds f64.
TEST(NormalizeImage, MatchesTheOracleWithConstants) {
  for (const Shape& shape : picture_shapes()) {
    SCOPED_TRACE(to_string(shape));
    const Values x = random_integers(shape, DType::u8, 1, 256).values();
    const auto run = [&](Context& c, DType dtype) {
      const OwnedTensor in(shape, DType::u8, x);
      OwnedTensor y(shape, dtype);
      normalize_image(c, {.x = in, .y = y, .mean = kMean, .inv_std = kInvStd});
      return results_of(std::move(y));
    };
    const auto channels = static_cast<std::size_t>(shape[3]);
    const Values mean(kMean.begin(), kMean.begin() + static_cast<std::ptrdiff_t>(channels));
    const Values inv_std(kInvStd.begin(), kInvStd.begin() + static_cast<std::ptrdiff_t>(channels));
    std::vector<Values> wanted{reference::normalize_constant(x, mean, inv_std)};
    check_op_in_all_types(run, [&](DType) { return wanted; }, {2.4e-7, 1e-12, true});
  }
}

TEST(NormalizeImage, MatchesTheOraclePerImage) {
  for (const Shape& shape : picture_shapes()) {
    SCOPED_TRACE(to_string(shape));
    Values x = random_integers(shape, DType::u8, 1, 256).values();
    // The first picture has one colour.
    for (std::size_t i = 0; i < x.size() / static_cast<std::size_t>(shape[0]); ++i) x[i] = 77;
    const auto run = [&](Context& c, DType dtype) {
      const OwnedTensor in(shape, DType::u8, x);
      OwnedTensor y(shape, dtype);
      normalize_image(c, {.x = in, .y = y, .mode = NormalizeMode::per_image});
      return results_of(std::move(y));
    };
    Values wanted = reference::normalize_per_image(x, static_cast<std::size_t>(shape[0]));
    for (double& value : wanted)
      if (std::fabs(value) < 1e-12) value = 0;  // the oracle's mean is rounded
    check_op_in_all_types(run, [&](DType) { return std::vector<Values>{wanted}; }, {2.4e-7, 1e-12});
  }
}

TEST(NormalizeImage, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor x({1, 2, 2, 5}, DType::u8), y({1, 2, 2, 5}, DType::f32);
  EXPECT_THROW(normalize_image(c, {.x = x, .y = y}), Error);
  const OwnedTensor wrong({1, 2, 2, 5}, DType::f32);
  EXPECT_THROW(normalize_image(c, {.x = wrong, .y = y, .mode = NormalizeMode::per_image}), Error);
}

}  // namespace
}  // namespace kiln::test
