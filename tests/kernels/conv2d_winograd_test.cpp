// Winograd's algorithm by its provider, forced, against the double oracle.
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <numbers>

#include "kernels/cpu/conv2d_winograd_provider.h"
#include "kernels/cpu/conv2d_winograd_rule.h"
#include "tests/kernels/conv2d_cases.h"
#include "tests/reference/conv2d.h"
#include "tests/support/compare.h"
#include "tests/support/grad_check.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {
namespace {

Conv2dShape conv3x3(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t k,
                    std::int64_t pad_h, std::int64_t pad_w) {
  return {.n = n, .h = h, .w = w, .c = c, .k = k, .r = 3, .s = 3, .pad_h = pad_h, .pad_w = pad_w};
}

// Tiles that stick out by 0 to 3 pixels, one tile and many, every remainder of a vector of
// channels, pads up to more than the window, several blocks, blocks that threads share.
std::vector<Conv2dShape> winograd_cases() {
  std::vector<Conv2dShape> cases = {
      conv3x3(2, 3, 3, 1, 1, 0, 0),     conv3x3(1, 1, 1, 3, 2, 1, 1),
      conv3x3(2, 8, 8, 16, 32, 1, 1),   conv3x3(3, 7, 6, 17, 31, 1, 1),
      conv3x3(2, 5, 9, 40, 48, 0, 1),   conv3x3(2, 6, 7, 5, 7, 2, 2),
      conv3x3(2, 4, 3, 6, 20, 3, 4),    conv3x3(1, 15, 31, 24, 64, 1, 1),
      conv3x3(7, 33, 30, 3, 5, 1, 0),   conv3x3(9, 6, 6, 8, 10, 1, 1),
      conv3x3(3, 5, 4, 144, 136, 1, 1),  // shared
      conv3x3(60, 3, 3, 8, 2320, 0, 0),  // shared, several blocks
  };
  if (kWithSanitizer) cases.pop_back();
  return cases;
}

// Rounding errors of a sum of `depth` products in a row grow with its root.
double tolerance(std::int64_t depth) {
  return 3e-6 * std::sqrt(std::max(1.0, static_cast<double>(depth) / 128));
}

struct Problem {
  explicit Problem(const Conv2dShape& shape, DType storage = DType::f32)
      : s(shape),
        dtype(storage),
        x(random_tensor(s.input(), dtype, 1)),
        w(random_tensor(s.weights(), dtype, 2)),
        bias(random_tensor({s.k}, DType::f32, 3)),
        dy(random_tensor(s.output(), dtype, 4)),
        y(s.output(), dtype),
        dx(s.input(), dtype),
        dw(s.weights(), DType::f32),
        dbias({s.k}, DType::f32) {}

  void forward(Context& c, bool has_bias, Activation activation) {
    const auto provider = cpu::make_winograd_conv2d_provider(CpuConv2dAlgorithm::winograd);
    const auto conv = provider->forward(problem_of(s, dtype, activation, has_bias, c));
    ASSERT_NE(conv, nullptr);
    const Scratch scratch(conv->scratch_bytes());
    conv->run(c, {s, x, w, has_bias ? bias.view() : Tensor{}, y, activation, scratch.data()});
    EXPECT_TRUE(scratch.guards_intact());
  }
  void backward(Context& c, GradWrite mode, bool accumulate, bool has_bias = true) {
    const auto provider = cpu::make_winograd_conv2d_provider(CpuConv2dAlgorithm::winograd);
    Conv2dProblem problem = problem_of(s, dtype, Activation::none, has_bias, c);
    problem.dx = mode;
    problem.accumulate_parameters = accumulate;
    const auto conv = provider->backward(problem);
    ASSERT_NE(conv, nullptr);
    const Scratch scratch(conv->scratch_bytes());
    conv->run(c, {s, x, w, dy, mode == GradWrite::skip ? Tensor{} : dx.view(), dw,
                  has_bias ? dbias.view() : Tensor{}, mode, accumulate, scratch.data()});
    EXPECT_TRUE(scratch.guards_intact());
  }
  void run_directly(Context& c) {
    const Scratch scratch(std::max(conv2d_scratch_bytes(c, s, DType::f32),
                                   conv2d_grad_scratch_bytes(c, s, DType::f32)));
    conv2d(c, {s, x, w, {}, y, Activation::none, scratch.data()});
    conv2d_grad(c, {s, x, w, dy, dx, dw, dbias, GradWrite::overwrite, false, scratch.data()});
  }

  Conv2dShape s;
  DType dtype;
  OwnedTensor x, w, bias, dy, y, dx, dw, dbias;
};

constexpr DType kStorage[] = {DType::f32, DType::bf16};

class Conv2dWinogradTest : public testing::TestWithParam<Conv2dShape> {};

void expect_forward_of_the_oracle(Problem p) {
  for (const bool more : {false, true}) {
    const Activation activation = more ? Activation::relu : Activation::none;
    const Values wanted = reference::conv2d(p.s, p.x.values(), p.w.values(),
                                            more ? p.bias.values() : Values{}, activation);
    for (const int threads : kThreadCounts) {
      TestContext c(threads);
      p.y.spoil();
      p.forward(c, more, activation);
      EXPECT_TRUE(close_to(p.y, wanted, stored_tolerance(p.dtype, tolerance(p.s.c), 0)))
          << name_of(p.dtype) << ", " << threads;
    }
  }
}

TEST_P(Conv2dWinogradTest, ForwardEqualsTheOracle) {
  for (const DType dtype : kStorage) expect_forward_of_the_oracle(Problem(GetParam(), dtype));
}

void expect_gradients_of_the_oracle(const Conv2dShape& shape, DType dtype) {
  const Problem p(shape, dtype);
  const auto wanted = reference::conv2d_grad(p.s, p.x.values(), p.w.values(), p.dy.values());
  const auto twice = [](Values values) {
    for (double& value : values) value *= 2;
    return values;
  };
  // dx of bf16 is rounded when it is written and once more when it is added to.
  const double of_dx = stored_tolerance(dtype, tolerance(p.s.k), 0);
  const double twice_dx = of_dx + (is_16_bit(dtype) ? rounding_error(dtype) : 0);
  for (const int threads : kThreadCounts) {
    SCOPED_TRACE(std::string(name_of(dtype)) + ", " + std::to_string(threads) + " threads");
    TestContext c(threads, threads == 3);
    Problem got(shape, dtype);
    got.backward(c, GradWrite::skip, false, false);
    EXPECT_TRUE(std::isnan(got.dx.at(0)) && std::isnan(got.dbias.at(0)));
    EXPECT_TRUE(close_to(got.dw, wanted.dw, tolerance(1)));
    got.backward(c, GradWrite::overwrite, false);
    EXPECT_TRUE(close_to(got.dx, wanted.dx, of_dx));
    EXPECT_TRUE(close_to(got.dw, wanted.dw, tolerance(1)));
    EXPECT_TRUE(close_to(got.dbias, wanted.dbias, tolerance(1)));
    got.backward(c, GradWrite::accumulate, true);
    EXPECT_TRUE(close_to(got.dx, twice(wanted.dx), twice_dx));
    EXPECT_TRUE(close_to(got.dw, twice(wanted.dw), tolerance(1)));
    EXPECT_TRUE(close_to(got.dbias, twice(wanted.dbias), tolerance(1)));
  }
}

TEST_P(Conv2dWinogradTest, BackwardEqualsTheOracleAndAddsWhereAskedTo) {
  for (const DType dtype : kStorage) expect_gradients_of_the_oracle(GetParam(), dtype);
}

// Filters transformed beforehand: the same sums, and no filters in the scratch.
TEST_P(Conv2dWinogradTest, TransformedFiltersServeEveryCallWithTheSameBits) {
  Problem p(GetParam());
  const OwnedTensor filters({conv2d_packed_count(p.s, Filters::transformed)}, DType::f32);
  conv2d_pack(p.s, p.w, filters, Filters::transformed);
  EXPECT_TRUE(filters.guards_intact());
  TestContext alone(1);
  p.forward(alone, true, Activation::relu);
  for (const int threads : kThreadCounts) {
    TestContext c(threads);
    const Scratch scratch(conv2d_scratch_bytes(c, p.s, DType::f32, Filters::transformed));
    const OwnedTensor y(p.s.output(), DType::f32);
    conv2d(c, {.shape = p.s,
               .x = p.x,
               .w = {},
               .bias = p.bias,
               .y = y,
               .activation = Activation::relu,
               .scratch = scratch.data(),
               .packed = filters,
               .packing = Filters::transformed});
    EXPECT_TRUE(bitwise_equal(y, p.y)) << threads;
    EXPECT_TRUE(scratch.guards_intact());
  }
}

TEST_P(Conv2dWinogradTest, BitsOfYAndDxDependNeitherOnThreadsNorOnTheBatch) {
  Problem one(GetParam()), three(GetParam());
  TestContext alone(1), together(3);
  one.forward(alone, true, Activation::none);
  one.backward(alone, GradWrite::overwrite, false);
  three.forward(together, true, Activation::none);
  three.backward(together, GradWrite::overwrite, false);
  EXPECT_TRUE(bitwise_equal(one.y, three.y));
  EXPECT_TRUE(bitwise_equal(one.dx, three.dx));
  Conv2dShape single = GetParam();
  single.n = 1;
  Problem first(single);  // its random numbers are the beginning of the batch's
  first.w.assign(one.w.values());
  first.forward(together, true, Activation::none);
  first.backward(together, GradWrite::overwrite, false);
  const auto beginning = [&](const OwnedTensor& all, const Shape& shape) {
    return Tensor(all.view().raw(), shape, DType::f32, all.view().device());
  };
  EXPECT_TRUE(bitwise_equal(first.y, beginning(one.y, single.output())));
  EXPECT_TRUE(bitwise_equal(first.dx, beginning(one.dx, single.input())));
}

// 96 tiles, which one thread takes in fewer blocks than there are threads.
TEST(Conv2dWinograd, EightThreadsGiveTheBitsOfOne) {
  const Conv2dShape s = conv3x3(3, 15, 31, 40, 24, 1, 1);
  Problem one(s), eight(s);
  TestContext alone(1), together(8);
  one.forward(alone, true, Activation::relu);
  one.backward(alone, GradWrite::overwrite, false);
  eight.forward(together, true, Activation::relu);
  eight.backward(together, GradWrite::overwrite, false);
  EXPECT_TRUE(bitwise_equal(one.y, eight.y));
  EXPECT_TRUE(bitwise_equal(one.dx, eight.dx));
}

TEST_P(Conv2dWinogradTest, SameBitsEveryTimeAndUnderDeterministicWithAnyThreadCount) {
  for (const bool deterministic : {false, true}) {
    Problem first(GetParam());
    TestContext two(2, deterministic);
    first.backward(two, GradWrite::overwrite, false);
    for (const int threads : {2, 1, 3}) {
      if (!deterministic && threads != 2) continue;
      Problem again(GetParam());
      TestContext c(threads, deterministic);
      again.backward(c, GradWrite::overwrite, false);
      EXPECT_TRUE(bitwise_equal(first.dx, again.dx));
      EXPECT_TRUE(bitwise_equal(first.dw, again.dw));
      EXPECT_TRUE(bitwise_equal(first.dbias, again.dbias));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Conv2dWinogradTest, testing::ValuesIn(winograd_cases()));

// A convolution is linear in x and in w, so a difference over a long step is as exact as the sums
// that it is made of: no oracle in between, and f32 is enough.
TEST(Conv2dWinograd, GradientsEqualFiniteDifferences) {
  for (const Conv2dShape& s : {conv3x3(2, 5, 6, 4, 3, 1, 1), conv3x3(1, 7, 4, 18, 5, 0, 2)}) {
    Problem p(s);
    TestContext c;
    p.backward(c, GradWrite::overwrite, false);
    const auto loss = [&](OwnedTensor& changed, const Values& values) {
      changed.assign(values);
      p.forward(c, false, Activation::none);
      return dot(p.dy.values(), p.y.values());
    };
    const Values x = p.x.values(), w = p.w.values();
    const GradCheckOptions options{.step = 1.0};
    const auto of_x = [&](const Values& v) { return loss(p.x, v); };
    EXPECT_LE(gradient_error(of_x, x, p.dx.values(), options), 1e-5) << to_string(s);
    p.x.assign(x);
    const auto of_w = [&](const Values& v) { return loss(p.w, v); };
    EXPECT_LE(gradient_error(of_w, w, p.dw.values(), options), 1e-5) << to_string(s);
  }
}

OwnedTensor normal_tensor(const Shape& shape, std::uint64_t seed) {
  OwnedTensor tensor(shape, DType::f32);
  RandomSequence sequence(seed, RandomStream::synthesise, 0);
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
    const double radius =
        std::sqrt(-2 * std::log(1.0 - static_cast<double>(sequence.next_uniform(0, 1))));
    tensor.set(i, radius * std::cos(2 * std::numbers::pi *
                                    static_cast<double>(sequence.next_uniform(0, 1))));
  }
  return tensor;
}

// Relative to the largest and to the root mean square of what was wanted.
struct Errors {
  double largest = 0, rms = 0;
};

Errors errors_of(const Values& got, const Values& wanted) {
  double squares = 0, of_wanted = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    squares += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    of_wanted += wanted[i] * wanted[i];
  }
  return {max_relative_error(got, wanted, 0).error, std::sqrt(squares / of_wanted)};
}

// The figures are in docs/decisions.md; the bounds hold them.
TEST(Conv2dWinograd, ErrorsStayNearThoseOfTheDirectKernel) {
  std::vector<Conv2dShape> shapes = {conv3x3(1, 15, 15, 64, 64, 1, 1)};
  if (!kWithSanitizer)
    shapes.insert(shapes.end(),
                  {conv3x3(1, 32, 32, 64, 64, 1, 1), conv3x3(1, 16, 16, 128, 128, 1, 1),
                   conv3x3(1, 8, 8, 256, 256, 1, 1), conv3x3(1, 4, 4, 512, 512, 1, 1),
                   conv3x3(1, 31, 31, 24, 64, 1, 1)});
  for (const Conv2dShape& s : shapes) {
    Problem p(s), direct(s);
    for (Problem* each : {&p, &direct}) {
      each->x.assign(normal_tensor(s.input(), 1).values());
      each->w.assign(normal_tensor(s.weights(), 2).values());
      each->dy.assign(normal_tensor(s.output(), 3).values());
    }
    const auto wanted = reference::conv2d_grad(s, p.x.values(), p.w.values(), p.dy.values());
    const Values wanted_y = reference::conv2d(s, p.x.values(), p.w.values(), {}, Activation::none);
    TestContext c;
    p.forward(c, false, Activation::none);
    p.backward(c, GradWrite::overwrite, false);
    direct.run_directly(c);
    const auto hold = [&](const char* what, const OwnedTensor& got, const OwnedTensor& other,
                          const Values& of) {
      const Errors errors = errors_of(got.values(), of), plain = errors_of(other.values(), of);
      std::printf("%s, %s: max %.1e, rms %.1e; direct: max %.1e, rms %.1e\n", to_string(s).c_str(),
                  what, errors.largest, errors.rms, plain.largest, plain.rms);
      EXPECT_LE(errors.largest, 6e-6) << to_string(s) << ", " << what;
      EXPECT_LE(errors.rms, 3e-6) << to_string(s) << ", " << what;
      EXPECT_LE(errors.rms, 4 * std::max(plain.rms, 2e-7)) << to_string(s) << ", " << what;
    };
    hold("y", p.y, direct.y, wanted_y);
    hold("dx", p.dx, direct.dx, wanted.dx);
    hold("dw", p.dw, direct.dw, wanted.dw);
  }
}

TEST(Conv2dWinograd, ReluKeepsNan) {
  Problem p(conv3x3(1, 8, 8, 16, 16, 1, 1));
  p.x.set(0, std::numeric_limits<double>::quiet_NaN());
  TestContext c;
  p.forward(c, false, Activation::relu);
  EXPECT_TRUE(std::isnan(p.y.at(0)));
  EXPECT_FALSE(std::isnan(p.y.at(7 * 16))) << "a tile that does not read it";
}

TEST(Conv2dWinograd, TakesNoOtherProblem) {
  const auto provider = cpu::make_winograd_conv2d_provider(CpuConv2dAlgorithm::winograd);
  const Conv2dProblem good{.shape = conv3x3(2, 8, 8, 16, 16, 1, 1)};
  EXPECT_NE(provider->forward(good), nullptr);
  const auto refuses = [&](auto change) {
    Conv2dProblem problem = good;
    change(problem);
    EXPECT_EQ(provider->forward(problem), nullptr) << to_string(problem.shape);
    EXPECT_EQ(provider->backward(problem), nullptr) << to_string(problem.shape);
  };
  refuses([](Conv2dProblem& p) { p.dtype = DType::f64; });
  refuses([](Conv2dProblem& p) { p.shape.stride_h = 2; });
  refuses([](Conv2dProblem& p) { p.shape.dilation_w = 2; });
  refuses([](Conv2dProblem& p) { p.shape.groups = 2; });
  refuses([](Conv2dProblem& p) { p.shape.s = 1; });
}

TEST(Conv2dWinograd, TheRuleAsksForChannelsTilesAndTheirUse) {
  const auto taken = [](const Conv2dShape& shape, CpuConv2dAlgorithm algorithm) {
    return cpu::uses_winograd({.shape = shape}, algorithm);
  };
  const auto rule = CpuConv2dAlgorithm::automatic;
  EXPECT_TRUE(taken(conv3x3(64, 32, 32, 64, 64, 1, 1), rule));
  EXPECT_TRUE(taken(conv3x3(64, 4, 4, 512, 512, 1, 1), rule));
  EXPECT_TRUE(taken(conv3x3(64, 3, 3, 256, 256, 1, 1), rule));
  EXPECT_FALSE(taken(conv3x3(4, 4, 4, 512, 512, 1, 1), rule)) << "four tiles in a batch";
  EXPECT_TRUE(taken(conv3x3(1, 8, 8, 256, 256, 1, 1), rule)) << "four in a picture, whatever N";
  EXPECT_FALSE(taken(conv3x3(64, 32, 32, 3, 64, 1, 1), rule)) << "three channels";
  EXPECT_FALSE(taken(conv3x3(64, 5, 5, 64, 64, 1, 1), rule)) << "25 of 64 outputs are used";
  EXPECT_FALSE(taken(conv3x3(64, 32, 32, 64, 64, 1, 1), CpuConv2dAlgorithm::direct));
  EXPECT_TRUE(taken(conv3x3(64, 5, 5, 3, 64, 1, 1), CpuConv2dAlgorithm::winograd));
}

TEST(Conv2dWinograd, PackingLooksAtThePictureAlone) {
  for (const std::int64_t n : {1, 64}) {
    EXPECT_EQ(conv2d_packing(conv3x3(n, 8, 8, 256, 256, 1, 1)), Filters::transformed);
    EXPECT_EQ(conv2d_packing(conv3x3(n, 4, 4, 512, 512, 1, 1)), Filters::packed) << "one tile";
    EXPECT_EQ(conv2d_packing(conv3x3(n, 32, 32, 3, 64, 1, 1)), Filters::packed);
  }
  Conv2dShape strided = conv3x3(1, 32, 32, 64, 64, 1, 1);
  strided.stride_h = strided.stride_w = 2;
  EXPECT_EQ(conv2d_packing(strided), Filters::packed);
  const OwnedTensor w(strided.weights(), DType::f32), packed({1}, DType::f32);
  EXPECT_THROW(conv2d_pack(strided, w, packed, Filters::transformed), std::logic_error);
}

}  // namespace
}  // namespace kiln::test
