#include "engine/train/optimizer.h"

#include <gtest/gtest.h>
#include <limits>

#include "engine/core/error.h"
#include "engine/train/schedule.h"
#include "models/zoo.h"
#include "tests/golden/golden.h"
#include "tests/train/fixture.h"

namespace kiln {
namespace {

TEST(Optimizer, RefusesWhatPyTorchRefuses) {
  const ParameterStore parameters(lenet(), DType::f32, Device{});
  EXPECT_THROW(Optimizer({.momentum = -0.1}, parameters), Error);
  EXPECT_THROW(Optimizer({.dampening = 0.1, .nesterov = true}, parameters), Error);
  EXPECT_THROW(Optimizer({.momentum = 0.0, .nesterov = true}, parameters), Error);
  EXPECT_THROW(parse_optimizer("sdg"), Error);
}

// An infinite one would be a loss that is not finite, some steps later.
TEST(Optimizer, RefusesWhatIsNoNumber) {
  const ParameterStore parameters(lenet(), DType::f32, Device{});
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(Optimizer({.momentum = bad}, parameters), Error);
    EXPECT_THROW(Optimizer({.dampening = bad}, parameters), Error);
    EXPECT_THROW(Optimizer({.weight_decay = bad}, parameters), Error);
    EXPECT_THROW(Optimizer({.epsilon = bad}, parameters), Error);
  }
}

TEST(ParameterGroups, AWordIsGivenOnce) {
  EXPECT_EQ(parse_group("match=*.bias  lr=0.1").learning_rate, 0.1);
  EXPECT_THROW(parse_group("match=*.bias lr=0.1 lr=0.2"), Error);
  EXPECT_THROW(parse_group("match=*.bias lr=0.1 match=*.weight"), Error);
  EXPECT_THROW(parse_group("match=*.bias momentum=0.1"), Error);
}

TEST(Optimizer, PaddingBetweenParametersStaysZero) {
  for (const OptimizerKind kind :
       {OptimizerKind::sgd, OptimizerKind::adadelta, OptimizerKind::adam, OptimizerKind::adamw}) {
    test::Workbench bench;
    ParameterStore parameters(lenet(), DType::f32, Device{});
    parameters.initialise(1);
    for (const Parameter& p : parameters.all())
      for (float& g : p.gradient.elements<float>()) g = 0.25f;
    Optimizer optimizer({.kind = kind, .weight_decay = 0.01}, parameters);
    for (int i = 0; i < 3; ++i) optimizer.step(bench.context, 0.1);
    double inside = 0, flat = 0;
    for (const Parameter& p : parameters.all())
      for (const float v : p.value.elements<float>()) inside += v != 0.0f;
    for (const float v : parameters.flat_values().elements<float>()) flat += v != 0.0f;
    EXPECT_EQ(inside, flat) << name_of(kind);
  }
}

// Each golden series against `options`, one step an epoch.
void expect_schedule(const std::string& name, const ScheduleOptions& options,
                     std::int64_t epoch_count) {
  const std::vector<double> truth = golden::GoldenFile("schedules").at(name).values;
  ASSERT_GT(truth.size(), 3u);
  for (std::size_t i = 0; i < truth.size(); ++i)
    EXPECT_NEAR(learning_rate(options, static_cast<std::int64_t>(i), 1, epoch_count), truth[i],
                1e-14)
        << name << " at " << i;
}

TEST(Schedule, AgreesWithPyTorch) {
  using enum ScheduleKind;
  expect_schedule("constant", {.kind = constant, .base = 0.1}, 8);
  expect_schedule("step.every_epoch", {.kind = step, .base = 1.0, .gamma = 0.7}, 14);
  expect_schedule("step.every_three", {.kind = step, .base = 0.1, .gamma = 0.1, .step_epochs = 3},
                  10);
  expect_schedule("cosine.to_zero", {.kind = cosine, .base = 0.1}, 12);
  expect_schedule("cosine.to_floor", {.kind = cosine, .base = 0.1, .final_ratio = 0.01}, 7);
  expect_schedule("warm_up_linear.from_zero_to_zero",
                  {.kind = linear, .base = 0.4, .warmup_epochs = 5}, 20);
  expect_schedule("warm_up_linear.sequential",
                  {.kind = linear,
                   .base = 0.4,
                   .warmup_epochs = 4,
                   .warmup_start_ratio = 0.1,
                   .final_ratio = 0.01},
                  16);
}

TEST(Schedule, EpochsAreCountedInSteps) {
  const ScheduleOptions options{.kind = ScheduleKind::step, .base = 1.0, .gamma = 0.5};
  EXPECT_EQ(learning_rate(options, 9, 10, 3), 1.0);
  EXPECT_EQ(learning_rate(options, 10, 10, 3), 0.5);
}

}  // namespace
}  // namespace kiln
