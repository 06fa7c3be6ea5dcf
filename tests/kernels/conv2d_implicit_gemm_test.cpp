// Convolutions on tensor cores, as the list of a device's providers hands them out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/common/implicit_gemm_plan.h"
#include "tests/kernels/conv2d_cases.h"
#include "tests/reference/conv2d.h"
#include "tests/support/compare.h"

namespace kiln::test {
namespace {

// Inputs are rounded to the type before the oracle sees them and sums run in f32, so what is left
// is the one rounding of the result: half a unit in the last place of an element no larger than the
// largest (2^-11 and 2^-8; next to nothing for a gradient in f32), and the f32 sums' own error,
// below 1e-5 of it here.
double tolerance(DType dtype) {
  const double rounding = dtype == DType::f16 ? 0x1p-11 : dtype == DType::bf16 ? 0x1p-8 : 0;
  return rounding + 1e-5;
}

// Sizes around the tiles' edges (64 and 128 rows and columns, 32 depths), and what the shared list
// has not: one pixel, K = 1, and the shapes that take the tall and the large tile.
std::vector<Conv2dShape> edge_cases() {
  return {
      {.n = 1, .h = 1, .w = 1, .c = 8, .k = 8, .r = 1, .s = 1},
      {.n = 1, .h = 1, .w = 1, .c = 8, .k = 1, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
      {.n = 1, .h = 7, .w = 9, .c = 32, .k = 64, .r = 1, .s = 1},  // 63 rows
      {.n = 1, .h = 8, .w = 8, .c = 32, .k = 64, .r = 1, .s = 1},  // exactly one tile
      {.n = 1, .h = 5, .w = 13, .c = 40, .k = 72, .r = 1, .s = 1},
      {.n = 2, .h = 7, .w = 7, .c = 24, .k = 56, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
      {.n = 2,
       .h = 9,
       .w = 8,
       .c = 16,
       .k = 24,
       .r = 3,
       .s = 3,
       .stride_h = 2,
       .stride_w = 2,
       .pad_h = 1,
       .pad_w = 1},
      {.n = 2,
       .h = 9,
       .w = 9,
       .c = 8,
       .k = 16,
       .r = 3,
       .s = 3,
       .stride_h = 1,
       .stride_w = 2,
       .pad_h = 2,
       .pad_w = 1,
       .dilation_h = 2,
       .dilation_w = 2},
      {.n = 1, .h = 9, .w = 9, .c = 12, .k = 20, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
      {.n = 1, .h = 100, .w = 170, .c = 8, .k = 8, .r = 1, .s = 1},  // tall tile
      {.n = 1, .h = 99, .w = 171, .c = 8, .k = 72, .r = 1, .s = 1},  // large tile
      {.n = 3, .h = 10, .w = 10, .c = 72, .k = 72, .r = 1, .s = 1},  // large tile for dw
  };
}

std::vector<Conv2dShape> cases() {
  std::vector<Conv2dShape> all = edge_cases();
  for (const Conv2dShape& s : conv2d_cases())
    if (s.groups == 1) all.push_back(s);
  return all;
}

struct Inputs {
  Inputs(const Conv2dShape& s, DType dtype)
      : x(random_tensor(s.input(), dtype, 1)),
        w(random_tensor(s.weights(), dtype, 2)),
        bias(random_tensor({s.k}, dtype, 3)) {}
  OwnedTensor x, w, bias;
};

std::unique_ptr<Conv2dForward> make_forward(Context& c, const Conv2dShape& s, DType dtype,
                                            Activation activation, bool has_bias) {
  auto providers = make_device_conv2d_providers(test_device(), c.log());
  return providers.forward(problem_of(s, dtype, activation, has_bias, c));
}

class ImplicitGemmTest : public testing::TestWithParam<Conv2dShape> {};

TEST_P(ImplicitGemmTest, ForwardEqualsTheOracleAndItself) {
  const Conv2dShape& s = GetParam();
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const Inputs in(s, dtype);
    const bool fused = dtype == DType::bf16;  // bias and relu with one type, neither with the other
    const Activation activation = fused ? Activation::relu : Activation::none;
    TestContext c;
    const auto conv = make_forward(c, s, dtype, activation, fused);
    EXPECT_THAT(std::string(conv->algorithm()), testing::HasSubstr("implicit GEMM"));
    const OwnedTensor y(s.output(), dtype), again(s.output(), dtype);
    const Tensor bias = fused ? in.bias.view() : Tensor{};
    conv->run(c, {s, in.x, in.w, bias, y, activation});
    conv->run(c, {s, in.x, in.w, bias, again, activation});
    const Values wanted = reference::conv2d(s, in.x.values(), in.w.values(),
                                            fused ? in.bias.values() : Values{}, activation);
    EXPECT_TRUE(close_to(y, wanted, tolerance(dtype))) << to_string(s);
    EXPECT_TRUE(bitwise_equal(y, again));
    EXPECT_TRUE(in.x.guards_intact() && in.w.guards_intact() && in.bias.guards_intact());
  }
}

// One backward call's tensors; the gradients start as NaN.
struct Gradients {
  Gradients(const Conv2dShape& shape, DType dtype, DType parameter_dtype)
      : s(shape),
        x(random_tensor(s.input(), dtype, 1)),
        w(random_tensor(s.weights(), dtype, 2)),
        dy(random_tensor(s.output(), dtype, 3)),
        dx(s.input(), dtype),
        dw(s.weights(), parameter_dtype),
        dbias({s.k}, parameter_dtype) {
    spoil();
  }
  void spoil() {
    for (OwnedTensor* tensor : {&dx, &dw, &dbias})
      tensor->assign(Values(static_cast<std::size_t>(tensor->element_count()),
                            std::numeric_limits<double>::quiet_NaN()));
  }
  void run(Context& c, GradWrite mode, bool accumulate_parameters, bool bias) {
    auto providers = make_device_conv2d_providers(test_device(), c.log());
    const bool need_dx = mode != GradWrite::skip;
    Conv2dProblem problem = problem_of(s, x.dtype(), Activation::none, bias, c);
    problem.dx = mode;
    problem.accumulate_parameters = accumulate_parameters;
    const auto conv = providers.backward(problem);
    EXPECT_THAT(std::string(conv->algorithm()), testing::HasSubstr("implicit GEMM"));
    const Scratch scratch(conv->scratch_bytes());
    conv->run(c, {s, x, w, dy, need_dx ? dx.view() : Tensor{}, dw, bias ? dbias.view() : Tensor{},
                  mode, accumulate_parameters, scratch.data()});
    EXPECT_TRUE(scratch.guards_intact());
    EXPECT_TRUE(x.guards_intact() && w.guards_intact() && dy.guards_intact());
  }
  reference::Conv2dGradients wanted() const {
    return reference::conv2d_grad(s, x.values(), w.values(), dy.values());
  }

  Conv2dShape s;
  OwnedTensor x, w, dy, dx, dw, dbias;
};

TEST_P(ImplicitGemmTest, GradientsEqualTheOracleAndThemselves) {
  const Conv2dShape& s = GetParam();
  for (const DType dtype : {DType::f16, DType::bf16}) {
    // Parameters' gradients once in the storage type, once in f32.
    const DType parameter_dtype = dtype == DType::f16 ? DType::f32 : dtype;
    Gradients got(s, dtype, parameter_dtype), again(s, dtype, parameter_dtype);
    const auto wanted = got.wanted();
    TestContext c;
    got.run(c, GradWrite::overwrite, false, true);
    again.run(c, GradWrite::overwrite, false, true);
    EXPECT_TRUE(close_to(got.dx, wanted.dx, tolerance(dtype))) << to_string(s);
    EXPECT_TRUE(close_to(got.dw, wanted.dw, tolerance(parameter_dtype))) << to_string(s);
    EXPECT_TRUE(close_to(got.dbias, wanted.dbias, tolerance(parameter_dtype))) << to_string(s);
    EXPECT_TRUE(bitwise_equal(got.dx, again.dx) && bitwise_equal(got.dw, again.dw) &&
                bitwise_equal(got.dbias, again.dbias));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ImplicitGemmTest, testing::ValuesIn(cases()));

Values plus(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// With eight channels at once and element by element.
TEST(ImplicitGemm, GradientsAddOrAreLeftOutWhereAskedTo) {
  for (const std::int64_t channels : {8, 5}) {
    const Conv2dShape s{
        .n = 2, .h = 6, .w = 5, .c = channels, .k = 16, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1};
    for (const DType dtype : {DType::f16, DType::bf16}) {
      Gradients g(s, dtype, dtype);
      const auto wanted = g.wanted();
      const OwnedTensor old_dx = random_tensor(s.input(), dtype, 7);
      const OwnedTensor old_dw = random_tensor(s.weights(), dtype, 8);
      const OwnedTensor old_dbias = random_tensor({s.k}, dtype, 9);
      g.dx.assign(old_dx.values());
      g.dw.assign(old_dw.values());
      g.dbias.assign(old_dbias.values());
      TestContext c;
      g.run(c, GradWrite::accumulate, true, true);
      EXPECT_TRUE(close_to(g.dx, plus(wanted.dx, old_dx.values()), tolerance(dtype)));
      EXPECT_TRUE(close_to(g.dw, plus(wanted.dw, old_dw.values()), tolerance(dtype)));
      EXPECT_TRUE(close_to(g.dbias, plus(wanted.dbias, old_dbias.values()), tolerance(dtype)));
      g.spoil();
      g.run(c, GradWrite::skip, false, false);
      EXPECT_TRUE(close_to(g.dw, wanted.dw, tolerance(dtype)));
      EXPECT_TRUE(std::isnan(g.dx.at(0)) && std::isnan(g.dbias.at(0)));
    }
  }
}

TEST(ImplicitGemm, NanInAGradientReachesItsWindowAndItsFilter) {
  const Conv2dShape s{.n = 1, .h = 6, .w = 6, .c = 8, .k = 8, .r = 3, .s = 3};
  Gradients g(s, DType::bf16, DType::f32);
  const std::int64_t p = 1, q = 2, filter = 3;
  g.dy.set((p * s.q() + q) * s.k + filter, std::numeric_limits<double>::quiet_NaN());
  TestContext c;
  g.run(c, GradWrite::overwrite, false, true);
  for (std::int64_t i = 0; i < g.dx.element_count(); ++i) {
    const std::int64_t h = i / 8 / 6, w = i / 8 % 6;
    EXPECT_EQ(std::isnan(g.dx.at(i)), h >= p && h < p + 3 && w >= q && w < q + 3) << h << "," << w;
  }
  for (std::int64_t i = 0; i < g.dw.element_count(); ++i)
    EXPECT_EQ(std::isnan(g.dw.at(i)), i / 72 == filter) << i;
  for (std::int64_t k = 0; k < 8; ++k) EXPECT_EQ(std::isnan(g.dbias.at(k)), k == filter);
}

TEST(ImplicitGemm, DwIsCutIntoPartsByShapeAlone) {
  const Conv2dShape s{
      .n = 512, .h = 7, .w = 7, .c = 256, .k = 256, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1};
  const ImplicitGemmPlan plan = plan_dw_gemm(s);
  EXPECT_EQ(plan.part % 32, 0);
  EXPECT_GE(plan.splits * plan.part, plan.depth);
  EXPECT_LT((plan.splits - 1) * plan.part, plan.depth);
  EXPECT_EQ(plan.splits, 8);  // 36 tiles: 264 blocks wanted, 288 started
}

TEST(ImplicitGemm, NanInAPixelReachesExactlyItsWindows) {
  const Conv2dShape s{
      .n = 1, .h = 5, .w = 5, .c = 8, .k = 8, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1};
  for (const DType dtype : {DType::f16, DType::bf16}) {
    Inputs in(s, dtype);
    in.x.set((1 * 5 + 1) * 8 + 3, std::numeric_limits<double>::quiet_NaN());
    TestContext c;
    const auto conv = make_forward(c, s, dtype, Activation::relu, false);
    const OwnedTensor y(s.output(), dtype);
    conv->run(c, {s, in.x, in.w, {}, y, Activation::relu});
    for (std::int64_t i = 0; i < y.element_count(); ++i) {
      const std::int64_t p = i / 8 / 5, q = i / 8 % 5;
      EXPECT_EQ(std::isnan(y.at(i)), p <= 2 && q <= 2) << p << ", " << q;
    }
  }
}

TEST(ImplicitGemm, LeavesWhatItDoesNotTakeToOthers) {
  const Conv2dShape s{.n = 1, .h = 5, .w = 5, .c = 8, .k = 8, .r = 3, .s = 3};
  EXPECT_TRUE(implicit_gemm_takes(s, DType::bf16));
  EXPECT_FALSE(implicit_gemm_takes(s, DType::f32));
  Conv2dShape grouped = s, huge = s;
  grouped.groups = 2;
  huge.n = std::int64_t{1} << 24;
  EXPECT_FALSE(implicit_gemm_takes(grouped, DType::bf16));
  EXPECT_FALSE(implicit_gemm_takes(huge, DType::bf16));
  TestContext c;
  const auto direct = make_forward(c, s, DType::f32, Activation::none, false);
  EXPECT_EQ(direct->algorithm(), "direct, one thread an output");
}

TEST(ImplicitGemm, ChoosesTilesByShapeAlone) {
  const auto text = [](std::int64_t n, std::int64_t side, std::int64_t c, std::int64_t k) {
    const Conv2dShape s{
        .n = n, .h = side, .w = side, .c = c, .k = k, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1};
    return plan_forward_gemm(s).text(DType::bf16);
  };
  EXPECT_EQ(text(512, 15, 256, 256), "implicit GEMM 128x128x32 mma.sync bf16");
  EXPECT_EQ(text(512, 15, 64, 64), "implicit GEMM 128x64x32 mma.sync bf16");
  EXPECT_EQ(text(8, 7, 256, 256), "implicit GEMM 64x64x32 mma.sync bf16");
  EXPECT_EQ(text(512, 32, 3, 64), "implicit GEMM 64x64x32 mma.sync bf16, element by element");
}

TEST(ImplicitGemm, RefusesAnotherProblemThanItPlannedFor) {
  Conv2dShape s{.n = 1, .h = 5, .w = 5, .c = 8, .k = 8, .r = 3, .s = 3};
  const Inputs in(s, DType::bf16), other(s, DType::f16);
  const OwnedTensor y(s.output(), DType::bf16);
  TestContext c;
  const auto conv = make_forward(c, s, DType::bf16, Activation::none, false);
  EXPECT_NO_THROW(conv->run(c, {s, in.x, in.w, {}, y}));
  EXPECT_THROW(conv->run(c, {s, other.x, in.w, {}, y}), std::logic_error);
  EXPECT_THROW(conv->run(c, {s, in.x, in.w, {}, {}}), std::logic_error);
  s.n = 2;
  EXPECT_THROW(conv->run(c, {s, in.x, in.w, {}, y}), std::logic_error);
}

}  // namespace
}  // namespace kiln::test
