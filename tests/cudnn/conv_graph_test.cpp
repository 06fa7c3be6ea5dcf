// Whether cuDNN has a plan for every convolution that kiln asks it for, on devices of compute
// capability 8.0, 9.0, 10.0 and 12.0: asked with descriptions of made-up devices, without a GPU.
// Nothing is run here. A toolkit's stub stands for libcuda (tests/cudnn/CMakeLists.txt).
#include "kernels/cudnn/conv_graph.h"

#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "models/zoo.h"

namespace kiln::cudnn {
namespace {

const std::vector<std::string> kDevices{"sm80", "sm90", "sm100", "sm120"};

std::string description_of(const std::string& device) {
  const Path source = std::getenv("KILN_SOURCE_DIR");
  return read_text_file(source / "tests/cudnn/devices" / (device + ".json"), 1 << 16);
}

using Shapes = std::map<std::string, Conv2dShape>;

void collect(const std::vector<LayerSpec>& layers, Shape input, Shapes& shapes) {
  for (const LayerSpec& layer : layers) {
    if (layer.kind == LayerKind::conv2d) {
      const Conv2dShape shape{.n = input[0],
                              .h = input[1],
                              .w = input[2],
                              .c = input[3],
                              .k = layer.out_features,
                              .r = layer.kernel_h,
                              .s = layer.kernel_w,
                              .stride_h = layer.stride_h,
                              .stride_w = layer.stride_w,
                              .pad_h = layer.padding_h,
                              .pad_w = layer.padding_w};
      shapes[to_string(shape)] = shape;
    }
    collect(layer.body, input, shapes);
    collect(layer.shortcut, input, shapes);
    input = output_shape(layer, input);
  }
}

// Of the networks known by name, and large layers with windows of 3x3.
Shapes all_shapes() {
  Shapes shapes;
  for (const ModelSpec& spec : {lenet(), mnist(), resnet18()})
    collect(spec.layers, {64, spec.height, spec.width, spec.channels}, shapes);
  struct Large {
    std::int64_t n, size, c, k;
  };
  for (const Large& l : {Large{512, 31, 24, 64}, Large{512, 15, 64, 64}, Large{512, 15, 64, 256},
                         Large{256, 15, 256, 256}, Large{512, 7, 256, 256}}) {
    const Conv2dShape shape{.n = l.n,
                            .h = l.size,
                            .w = l.size,
                            .c = l.c,
                            .k = l.k,
                            .r = 3,
                            .s = 3,
                            .pad_h = 1,
                            .pad_w = 1};
    shapes[to_string(shape)] = shape;
  }
  return shapes;
}

std::vector<ConvProblem> all_passes(ConvProblem problem) {
  std::vector<ConvProblem> passes;
  for (const Epilogue end : {Epilogue::none, Epilogue::bias, Epilogue::bias_relu, Epilogue::relu}) {
    problem.epilogue = end;
    passes.push_back(problem);
  }
  problem.epilogue = Epilogue::none;
  for (const ConvPass pass : {ConvPass::input_gradient, ConvPass::filter_gradient}) {
    problem.pass = pass;
    passes.push_back(problem);
  }
  return passes;
}

std::vector<ConvProblem> all_problems() {
  std::vector<ConvProblem> problems;
  for (const auto& [name, shape] : all_shapes())
    for (const bool deterministic : {false, true}) {
      ConvProblem problem{.shape = shape, .deterministic = deterministic};
      for (const ConvProblem& pass : all_passes(problem)) problems.push_back(pass);
      problem.math = FloatMath::tf32;
      for (const ConvProblem& pass : all_passes(problem)) problems.push_back(pass);
      problem.math = FloatMath::fp32;
      for (const DType dtype : {DType::f16, DType::bf16}) {
        problem.dtype = problem.result = dtype;
        for (const ConvProblem& pass : all_passes(problem)) problems.push_back(pass);
      }
    }
  return problems;
}

class ConvGraphOn : public testing::TestWithParam<std::string> {
 protected:
  const std::string description_ = description_of(GetParam());
};

// The names of plans that a problem must not have; nothing of is_fit is used here.
std::vector<std::string> offences(const ConvProblem& problem, const std::vector<ConvPlan>& plans) {
  std::vector<std::string> found;
  for (const ConvPlan& plan : plans) {
    bool bad = plan.notes.rounds_inputs || plan.notes.narrow_sums;
    if (problem.dtype == DType::f32 && problem.math == FloatMath::fp32)
      bad = bad || plan.notes.tensor_core;
    if (problem.deterministic) bad = bad || plan.notes.nondeterministic;
    if (bad) found.push_back(plan.name);
  }
  return found;
}

// Each once, in the order of the heuristics' lists.
bool are_in_order(const std::vector<ConvPlan>& plans) {
  std::set<std::string> names;
  int last_place = -1;
  for (const ConvPlan& plan : plans) {
    if (!names.insert(plan.name).second || plan.place <= last_place) return false;
    last_place = plan.place;
  }
  return true;
}

TEST_P(ConvGraphOn, EveryConvolutionHasPlansAndNoneLessExactThanAskedFor) {
  const auto problems = all_problems();
  ASSERT_GT(problems.size(), 500u);
  std::size_t on_tensor_cores = 0;
  for (const ConvProblem& problem : problems) {
    if (!problem.deterministic) continue;  // its plans are those of the other and more
    try {
      const auto plans = ConvGraph::on_description(problem, description_).candidates();
      EXPECT_FALSE(plans.empty()) << key_of(problem);
      EXPECT_THAT(offences(problem, plans), testing::IsEmpty()) << key_of(problem);
      EXPECT_TRUE(are_in_order(plans)) << key_of(problem);
      for (const ConvPlan& plan : plans) on_tensor_cores += plan.notes.tensor_core ? 1 : 0;
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GT(on_tensor_cores, 0u) << "cuDNN's notes were not read";
}

// The check sees what it is there for: plans of tf32, offered for exact f32.
TEST_P(ConvGraphOn, PlansOfTf32OffendAgainstF32) {
  ConvProblem problem{.shape = {.n = 64, .h = 16, .w = 16, .c = 64, .k = 64, .r = 3, .s = 3},
                      .math = FloatMath::tf32};
  const auto plans = ConvGraph::on_description(problem, description_).candidates();
  EXPECT_THAT(offences(problem, plans), testing::IsEmpty());
  problem.math = FloatMath::fp32;
  EXPECT_THAT(offences(problem, plans), testing::Not(testing::IsEmpty()));
}

// cuDNN sums a filter's gradient from 16-bit tensors into 16 bits only, so this must be refused: a
// check that says yes to everything would be seen here.
TEST_P(ConvGraphOn, WideResultOfNarrowFilterGradientIsRefused) {
  ConvProblem problem{.shape = {.n = 64, .h = 15, .w = 15, .c = 64, .k = 64, .r = 3, .s = 3},
                      .dtype = DType::bf16,
                      .result = DType::f32,
                      .pass = ConvPass::filter_gradient};
  EXPECT_THROW(ConvGraph::on_description(problem, description_), Error);
  problem.result = DType::bf16;
  EXPECT_NO_THROW(ConvGraph::on_description(problem, description_));
}

INSTANTIATE_TEST_SUITE_P(Made, ConvGraphOn, testing::ValuesIn(kDevices),
                         [](const auto& device) { return device.param; });

TEST(ConvPlan, UnfitAndRepeatedPlansAreStruckOutInOrder) {
  const std::vector<ConvPlan> plans{
      {.name = "tensor", .place = 0, .notes = {.tensor_core = true}},
      {.name = "rounds", .place = 1, .notes = {.rounds_inputs = true}},
      {.name = "plain", .place = 2},
      {.name = "atomic", .place = 3, .notes = {.nondeterministic = true}},
      {.name = "narrow", .place = 4, .notes = {.narrow_sums = true}},
      {.name = "plain", .place = 5},
      {.name = "last", .place = 6}};
  const auto names = [&](const ConvProblem& problem) {
    std::vector<std::string> all;
    for (const ConvPlan& plan : fit_plans(plans, problem)) all.push_back(plan.name);
    return all;
  };
  using testing::ElementsAre;
  EXPECT_THAT(names({}), ElementsAre("plain", "atomic", "last"));
  EXPECT_THAT(names({.deterministic = true}), ElementsAre("plain", "last"));
  EXPECT_THAT(names({.math = FloatMath::tf32}), ElementsAre("tensor", "plain", "atomic", "last"));
  EXPECT_THAT(names({.dtype = DType::bf16, .deterministic = true}),
              ElementsAre("tensor", "plain", "last"));
  EXPECT_THAT(offences({.deterministic = true}, plans),
              ElementsAre("tensor", "rounds", "atomic", "narrow"));
}

TEST(ConvGraph, BrokenDescriptionIsRefused) {
  const ConvProblem problem{.shape = {.h = 8, .w = 8, .c = 8, .k = 8, .r = 3, .s = 3}};
  EXPECT_THROW(ConvGraph::on_description(problem, "{"), Error);
}

TEST(ConvGraph, DoubleIsRefused) {
  const ConvProblem problem{.shape = {.h = 8, .w = 8, .c = 8, .k = 8}, .dtype = DType::f64};
  EXPECT_THROW(ConvGraph::on_description(problem, description_of("sm90")), Error);
}

TEST(ConvProblem, OnlyGradientsThatAreAddedToNeedScratch) {
  Conv2dProblem problem{.shape = {.n = 8, .h = 10, .w = 10, .c = 4, .k = 16, .r = 3, .s = 3},
                        .dtype = DType::bf16};
  EXPECT_EQ(added_gradient_bytes(problem), 0u);
  problem.accumulate_parameters = true;
  EXPECT_EQ(added_gradient_bytes(problem), 16u * 3 * 3 * 4 * 2);
  problem.dx = GradWrite::accumulate;
  EXPECT_EQ(added_gradient_bytes(problem), 8u * 10 * 10 * 4 * 2);
  problem.dx = GradWrite::skip;
  EXPECT_EQ(added_gradient_bytes(problem), 16u * 3 * 3 * 4 * 2);
}

TEST(ConvProblem, KeysTellProblemsApart) {
  std::map<std::string, ConvProblem> seen;
  for (const ConvProblem& problem : all_problems()) {
    const auto [at, is_new] = seen.emplace(key_of(problem), problem);
    EXPECT_TRUE(is_new || at->second == problem) << at->first;
    EXPECT_EQ(at->first.find_first_of(" \t\n"), std::string::npos) << at->first;
  }
  EXPECT_EQ(seen.size(), all_problems().size());
}

}  // namespace
}  // namespace kiln::cudnn
