#include "kernels/include/conv2d_provider.h"

#include <cstdio>
#include <gtest/gtest.h>

#include "kernels/cpu/conv2d_onednn_provider.h"
#include "kernels/cpu/isa.h"
#include "tests/kernels/conv2d_cases.h"
#include "tests/reference/conv2d.h"
#include "tests/support/compare.h"

namespace kiln::test {
namespace {

// What a Log wrote.
class LogText {
 public:
  LogText() : file_(std::tmpfile()), log(file_) {}
  ~LogText() { std::fclose(file_); }
  LogText(const LogText&) = delete;
  LogText& operator=(const LogText&) = delete;
  std::string text() const {
    std::string all(static_cast<std::size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    const std::size_t read = std::fread(all.data(), 1, all.size(), file_);
    return read == all.size() ? all : "unreadable";
  }

 private:
  std::FILE* file_;

 public:
  Log log;
};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Whether the plug-in is there; a skip says why not.
bool onednn_present(std::string& why) {
  LogText log;
  auto providers = make_cpu_conv2d_providers(log.log, CpuConv2dChoice::onednn);
  providers.forward({.shape = {.n = 1, .h = 4, .w = 4, .c = 16, .k = 16, .r = 3, .s = 3}});
  why = log.text();
  return !contains(why, "oneDNN is not used");
}

class ConvProviderTest : public testing::TestWithParam<CpuConv2dChoice> {
 protected:
  void SetUp() override {
    std::string why;
    if (GetParam() == CpuConv2dChoice::onednn && !onednn_present(why)) GTEST_SKIP() << why;
  }
};

TEST_P(ConvProviderTest, ForwardEqualsTheOracle) {
  for (const Conv2dShape& s : conv2d_cases()) {
    const OwnedTensor x = random_tensor(s.input(), DType::f32, 1);
    const OwnedTensor w = random_tensor(s.weights(), DType::f32, 2);
    const OwnedTensor bias = random_tensor({s.k}, DType::f32, 3);
    for (const bool has_bias : {false, true})
      for (const int threads : kThreadCounts) {
        const Activation activation = has_bias ? Activation::relu : Activation::none;
        TestContext c(threads);
        auto providers = make_cpu_conv2d_providers(c.get().log(), GetParam());
        auto conv = providers.forward(problem_of(s, DType::f32, activation, has_bias, c));
        const Scratch scratch(conv->scratch_bytes());
        const OwnedTensor y(s.output(), DType::f32);
        conv->run(c, {s, x, w, has_bias ? bias.view() : Tensor{}, y, activation, scratch.data()});
        const Values wanted = reference::conv2d(s, x.values(), w.values(),
                                                has_bias ? bias.values() : Values{}, activation);
        EXPECT_TRUE(close_to(y, wanted, 2e-6)) << to_string(s) << " by " << conv->algorithm();
        EXPECT_TRUE(scratch.guards_intact());
      }
  }
}

struct Gradients {
  explicit Gradients(const Conv2dShape& s)
      : dx(s.input(), DType::f32), dw(s.weights(), DType::f32), dbias({s.k}, DType::f32) {}
  OwnedTensor dx, dw, dbias;
};

struct GradProblem {
  explicit GradProblem(const Conv2dShape& shape)
      : s(shape),
        x(random_tensor(s.input(), DType::f32, 1)),
        w(random_tensor(s.weights(), DType::f32, 2)),
        dy(random_tensor(s.output(), DType::f32, 3)) {}
  void run(Context& c, CpuConv2dChoice choice, Gradients& g, GradWrite mode, bool accumulate) {
    auto providers = make_cpu_conv2d_providers(c.log(), choice);
    Conv2dProblem problem = problem_of(s, DType::f32, Activation::none, true, c);
    problem.dx = mode;
    problem.accumulate_parameters = accumulate;
    auto conv = providers.backward(problem);
    const Scratch scratch(conv->scratch_bytes());
    conv->run(c, {s, x, w, dy, mode == GradWrite::skip ? Tensor{} : g.dx.view(), g.dw, g.dbias,
                  mode, accumulate, scratch.data()});
    EXPECT_TRUE(scratch.guards_intact());
  }
  Conv2dShape s;
  OwnedTensor x, w, dy;
};

TEST_P(ConvProviderTest, BackwardEqualsTheOracleAndAddsWhereAskedTo) {
  for (const Conv2dShape& s : conv2d_cases()) {
    GradProblem problem(s);
    const auto wanted =
        reference::conv2d_grad(s, problem.x.values(), problem.w.values(), problem.dy.values());
    const auto twice = [](Values v) {
      for (double& value : v) value *= 2;
      return v;
    };
    for (const int threads : kThreadCounts) {
      TestContext c(threads, threads == 3);
      Gradients g(s);
      problem.run(c, GetParam(), g, GradWrite::skip, false);
      EXPECT_TRUE(std::isnan(g.dx.at(0)));
      problem.run(c, GetParam(), g, GradWrite::overwrite, false);
      EXPECT_TRUE(close_to(g.dx, wanted.dx, 4e-6)) << to_string(s);
      EXPECT_TRUE(close_to(g.dw, wanted.dw, 4e-6)) << to_string(s);
      EXPECT_TRUE(close_to(g.dbias, wanted.dbias, 4e-6)) << to_string(s);
      problem.run(c, GetParam(), g, GradWrite::accumulate, true);
      EXPECT_TRUE(close_to(g.dx, twice(wanted.dx), 4e-6)) << to_string(s);
      EXPECT_TRUE(close_to(g.dw, twice(wanted.dw), 4e-6)) << to_string(s);
      EXPECT_TRUE(close_to(g.dbias, twice(wanted.dbias), 4e-6)) << to_string(s);
    }
  }
}

TEST_P(ConvProviderTest, DeterministicBitsDependOnNoThreadCount) {
  for (const Conv2dShape& s : conv2d_cases()) {
    GradProblem problem(s);
    Gradients first(s);
    TestContext one(1, true);
    problem.run(one, GetParam(), first, GradWrite::overwrite, false);
    for (const int threads : {1, 2, 3}) {
      TestContext c(threads, true);
      Gradients again(s);
      problem.run(c, GetParam(), again, GradWrite::overwrite, false);
      EXPECT_TRUE(bitwise_equal(first.dx, again.dx)) << to_string(s) << ", " << threads;
      EXPECT_TRUE(bitwise_equal(first.dw, again.dw)) << to_string(s) << ", " << threads;
      EXPECT_TRUE(bitwise_equal(first.dbias, again.dbias)) << to_string(s) << ", " << threads;
    }
  }
}

TEST_P(ConvProviderTest, ReluKeepsNan) {
  const Conv2dShape s{.n = 2, .h = 5, .w = 5, .c = 16, .k = 16, .r = 3, .s = 3};
  OwnedTensor x = random_tensor(s.input(), DType::f32, 1);
  x.set(0, std::numeric_limits<double>::quiet_NaN());
  const OwnedTensor w = random_tensor(s.weights(), DType::f32, 2), y(s.output(), DType::f32);
  TestContext c(1);
  auto providers = make_cpu_conv2d_providers(c.get().log(), GetParam());
  auto conv = providers.forward(problem_of(s, DType::f32, Activation::relu, false, c));
  const Scratch scratch(conv->scratch_bytes());
  conv->run(c, {s, x, w, {}, y, Activation::relu, scratch.data()});
  for (int k = 0; k < 16; ++k) EXPECT_TRUE(std::isnan(y.at(k)));
  EXPECT_FALSE(std::isnan(y.at(16)));
}

INSTANTIATE_TEST_SUITE_P(Choices, ConvProviderTest,
                         testing::Values(CpuConv2dChoice::automatic, CpuConv2dChoice::own,
                                         CpuConv2dChoice::onednn));

TEST(ConvProviders, LogTheirChoiceOncePerShape) {
  LogText log;
  auto providers = make_cpu_conv2d_providers(log.log, CpuConv2dChoice::own);
  const Conv2dProblem problem{.shape = {.n = 4, .h = 9, .w = 9, .c = 3, .k = 6, .r = 3, .s = 3}};
  providers.forward(problem);
  providers.forward(problem);
  const std::string text = log.text();
  EXPECT_TRUE(contains(text, "4x9x9x3 -> 6, 3x3")) << text;
  EXPECT_TRUE(contains(text, "own")) << text;
  EXPECT_TRUE(contains(text, "direct")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST(ConvProviders, LogTheAlgorithmOfOwnKernels) {
  const Conv2dProblem problem{.shape = {.n = 64, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3}};
  const auto line = [&](CpuConv2dAlgorithm algorithm) {
    LogText log;
    make_cpu_conv2d_providers(log.log, CpuConv2dChoice::own, algorithm).backward(problem);
    return log.text();
  };
  EXPECT_TRUE(contains(line(CpuConv2dAlgorithm::automatic), "own, winograd 4x4"));
  EXPECT_TRUE(contains(line(CpuConv2dAlgorithm::winograd), "own, winograd 4x4"));
  EXPECT_TRUE(contains(line(CpuConv2dAlgorithm::direct), "own, direct"));
}

TEST(ConvProviders, NameShapeTypeAndDeviceWhereNobodyTakesTheProblem) {
  Log log(stderr, LogLevel::quiet);
  Conv2dProviders none(Device{}, {}, log);
  auto own = make_cpu_conv2d_providers(log, CpuConv2dChoice::own);
  Conv2dProblem problem{.shape = {.n = 1, .h = 4, .w = 4, .c = 2, .k = 2, .r = 3, .s = 3}};
  const auto message = [&](Conv2dProviders& providers) -> std::string {
    try {
      providers.backward(problem);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_TRUE(contains(message(none), "1x4x4x2 -> 2, 3x3")) << message(none);
  EXPECT_TRUE(contains(message(none), "f32")) << message(none);
  EXPECT_TRUE(contains(message(none), "cpu")) << message(none);
  EXPECT_EQ(message(own), "");
  problem.dtype = DType::i32;
  EXPECT_TRUE(contains(message(own), "i32")) << message(own);
}

TEST(ConvProviders, OwnKernelsNameWhatTheyAre) {
  Log log(stderr, LogLevel::quiet);
  auto own = make_cpu_conv2d_providers(log, CpuConv2dChoice::own);
  const auto algorithm = [&](const Conv2dShape& shape) {
    return std::string(own.forward({.shape = shape})->algorithm());
  };
  Conv2dShape s{.n = 1, .h = 4, .w = 4, .c = 12, .k = 12, .r = 3, .s = 3, .groups = 12};
  EXPECT_TRUE(contains(algorithm(s), "depthwise")) << algorithm(s);
  s.groups = 4;
  EXPECT_TRUE(contains(algorithm(s), "depthwise")) << algorithm(s);
  s.groups = 3;
  EXPECT_TRUE(contains(algorithm(s), "direct")) << algorithm(s);
}

// A network in bf16 runs on own kernels whatever was chosen, and the log says by which arithmetic.
TEST(ConvProviders, OwnKernelsTakeBf16AndSayHow) {
  Log log(stderr, LogLevel::quiet);
  const Conv2dShape dense{.n = 2, .h = 4, .w = 4, .c = 3, .k = 5, .r = 3, .s = 3};
  Conv2dShape apart{.n = 1, .h = 4, .w = 4, .c = 12, .k = 12, .r = 3, .s = 3, .groups = 12};
  for (const auto choice : {CpuConv2dChoice::automatic, CpuConv2dChoice::own}) {
    auto providers = make_cpu_conv2d_providers(log, choice);
    const auto algorithm = [&](const Conv2dShape& shape) {
      return std::string(providers.forward({.shape = shape, .dtype = DType::bf16})->algorithm());
    };
    const std::string wanted = cpu::has_bf16_dots() ? "pairs avx512_bf16" : "widening, direct";
    EXPECT_TRUE(contains(algorithm(dense), wanted)) << algorithm(dense);
    EXPECT_TRUE(contains(algorithm(apart), "widened, depthwise")) << algorithm(apart);
  }
}

// oneDNN replaces; what is to be added is made in scratch memory first.
TEST(ConvProviders, OneDnnBooksScratchForWhatIsAddedTo) {
  LogText log;
  auto providers = make_cpu_conv2d_providers(log.log, CpuConv2dChoice::onednn);
  Conv2dProblem problem{
      .shape = {.n = 2, .h = 16, .w = 16, .c = 16, .k = 16, .r = 3, .s = 3, .groups = 16}};
  const std::size_t replaced = providers.backward(problem)->scratch_bytes();
  if (!contains(log.text(), "oneDNN, ")) GTEST_SKIP() << "oneDNN is not there";
  problem.accumulate_parameters = true;
  EXPECT_GT(providers.backward(problem)->scratch_bytes(), replaced);
  problem.accumulate_parameters = false;
  problem.dx = GradWrite::skip;
  EXPECT_LE(providers.backward(problem)->scratch_bytes(), replaced);
}

// The rule of docs/decisions.md.
TEST(ConvProviders, OneDnnWinsDepthwiseProblemsWithSmallWindows) {
  const auto wins = [](std::int64_t c, std::int64_t k, std::int64_t groups, std::int64_t window) {
    return cpu::onednn_wins(
        {.shape = {
             .n = 1, .h = 9, .w = 9, .c = c, .k = k, .r = window, .s = window, .groups = groups}});
  };
  EXPECT_TRUE(wins(8, 8, 8, 3));
  EXPECT_FALSE(wins(8, 8, 8, 5));
  EXPECT_FALSE(wins(8, 16, 8, 3));
  EXPECT_FALSE(wins(8, 8, 4, 3));
  EXPECT_FALSE(wins(8, 8, 1, 3));
  EXPECT_FALSE(wins(1, 1, 1, 3));
}

TEST(ConvProviders, ParseTheirNames) {
  EXPECT_EQ(parse_cpu_conv2d_choice("auto"), CpuConv2dChoice::automatic);
  EXPECT_EQ(parse_cpu_conv2d_choice("own"), CpuConv2dChoice::own);
  EXPECT_EQ(parse_cpu_conv2d_choice("onednn"), CpuConv2dChoice::onednn);
  EXPECT_THROW(parse_cpu_conv2d_choice("cudnn"), Error);
  EXPECT_EQ(parse_cpu_conv2d_algorithm("auto"), CpuConv2dAlgorithm::automatic);
  EXPECT_EQ(parse_cpu_conv2d_algorithm("direct"), CpuConv2dAlgorithm::direct);
  EXPECT_EQ(parse_cpu_conv2d_algorithm("winograd"), CpuConv2dAlgorithm::winograd);
  EXPECT_THROW(parse_cpu_conv2d_algorithm("fft"), Error);
}

TEST(ConvProviders, RefuseAnotherContextThanTheyPlannedFor) {
  const Conv2dShape s{.n = 2, .h = 4, .w = 4, .c = 2, .k = 2, .r = 3, .s = 3};
  TestContext one(1), two(2);
  auto providers = make_cpu_conv2d_providers(one.get().log(), CpuConv2dChoice::own);
  auto conv = providers.forward(problem_of(s, DType::f32, Activation::none, false, one));
  const OwnedTensor x = random_tensor(s.input(), DType::f32, 1);
  const OwnedTensor w = random_tensor(s.weights(), DType::f32, 2), y(s.output(), DType::f32);
  const Scratch scratch(conv->scratch_bytes());
  const Conv2dArgs args{s, x, w, {}, y, Activation::none, scratch.data()};
  EXPECT_NO_THROW(conv->run(one, args));
  EXPECT_THROW(conv->run(two, args), std::logic_error);
}

}  // namespace
}  // namespace kiln::test
