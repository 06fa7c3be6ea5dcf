// The golden files themselves: complete, finite, and equal to what can be worked out by hand.
#include "tests/golden/golden.h"

#include <cmath>
#include <cstddef>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace kiln::golden {
namespace {

class EveryGoldenFile : public testing::TestWithParam<const char*> {};

TEST_P(EveryGoldenFile, IsFiniteAndHasCases) {
  const GoldenFile file(GetParam());
  EXPECT_FALSE(file.cases().empty());
  EXPECT_FALSE(file.names().empty());
  for (const std::string& name : file.names()) {
    const GoldenArray array = file.at(name);
    EXPECT_EQ(static_cast<std::size_t>(array.shape.element_count()), array.values.size()) << name;
    for (const double value : array.values) ASSERT_TRUE(std::isfinite(value)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, EveryGoldenFile,
                         testing::Values("ops", "optimizers", "schedules", "initialisers", "lenet",
                                         "mnist", "mini_resnet", "speedrun"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Golden, LenetHasEveryParameter) {
  const GoldenFile file("lenet");
  std::int64_t count = 0;
  for (const std::string& name : file.parameters()) {
    count += file.initial(name).shape.element_count();
    EXPECT_EQ(file.at("gradient_of_step_1/" + name).shape, file.initial(name).shape) << name;
    EXPECT_EQ(file.at("after_100_steps/" + name).shape, file.initial(name).shape) << name;
  }
  EXPECT_EQ(count, 62'006);
  EXPECT_EQ(file.at("pixels").shape, (Shape{4, 16, 3, 32, 32}));
  EXPECT_EQ(file.at("loss_f64").shape, (Shape{100}));
}

TEST(Golden, InitialWeightsAreExactInFloat) {
  for (const char* name : {"lenet", "mnist", "mini_resnet", "speedrun"}) {
    const GoldenFile file(name);
    for (const std::string& parameter : file.parameters())
      for (const double value : file.initial(parameter).values)
        ASSERT_EQ(static_cast<double>(static_cast<float>(value)), value) << name << parameter;
  }
}

// SGD with momentum, by hand: v = momentum * v + g, w = w - lr * v.
TEST(Golden, MomentumFollowsItsFormula) {
  const GoldenFile file("optimizers");
  std::vector<double> weight = file.at("start").values;
  std::vector<double> velocity(weight.size(), 0.0);
  const std::vector<double> gradients = file.at("gradients").values;
  const std::vector<double> after = file.at("sgd.momentum/after_f64").values;
  for (std::size_t step = 0; step < 10; ++step) {
    for (std::size_t i = 0; i < weight.size(); ++i) {
      velocity[i] = 0.9 * velocity[i] + gradients[step * weight.size() + i];
      weight[i] -= 0.1 * velocity[i];
      EXPECT_NEAR(weight[i], after[step * weight.size() + i], 1e-14);
    }
  }
}

TEST(Golden, ConfigurationsAreRead) {
  const GoldenFile file("ops");
  for (const GoldenCase& entry : file.cases()) {
    if (entry.name != "conv2d.stride_leaves_rest") continue;
    EXPECT_EQ(entry.texts.at("op"), "conv2d");
    EXPECT_EQ(entry.numbers.at("stride"), (std::vector<double>{3, 2}));
    EXPECT_EQ(entry.numbers.at("bias"), (std::vector<double>{1}));
    return;
  }
  FAIL() << "the case conv2d.stride_leaves_rest is gone";
}

TEST(Golden, ChannelsLastMovesEveryValue) {
  const GoldenArray array{.shape = {1, 2, 1, 3}, .values = {0, 1, 2, 10, 11, 12}};
  const GoldenArray moved = to_channels_last(array);
  EXPECT_EQ(moved.shape, (Shape{1, 1, 3, 2}));
  EXPECT_EQ(moved.values, (std::vector<double>{0, 10, 1, 11, 2, 12}));
}

TEST(Golden, RelativeErrorNoticesFaults) {
  EXPECT_EQ(relative_error({1.0, 2.0}, {1.0, 2.0}), 0.0);
  EXPECT_DOUBLE_EQ(relative_error({1.0, 2.5}, {1.0, 2.0}), 0.25);
  EXPECT_TRUE(std::isinf(relative_error({1.0}, {1.0, 2.0})));
  EXPECT_TRUE(std::isinf(relative_error({std::numeric_limits<double>::quiet_NaN()}, {1.0})));
}

TEST(Golden, UnknownTensorIsAnError) { EXPECT_THROW(GoldenFile("ops").at("nothing"), Error); }

}  // namespace
}  // namespace kiln::golden
