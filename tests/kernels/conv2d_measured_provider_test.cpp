// The choice by time, of ways that are made up, and of the real ones.
#include "kernels/cpu/conv2d_measured_provider.h"

#include <chrono>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "tests/kernels/conv2d_cases.h"
#include "tests/support/compare.h"
#include "tests/support/temp_folder.h"

namespace kiln::test {
namespace {

using testing::HasSubstr;
using testing::Not;

const Conv2dShape kShape{
    .n = 2, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1};

// Sleeps instead of computing, and counts.
struct Way {
  std::string name;
  int milliseconds = 0;
  bool takes = true;
  int runs = 0;
};

template <class Base, class Args>
class Pass final : public Base {
 public:
  explicit Pass(Way& way) : way_(way) {}
  std::size_t scratch_bytes() const override { return 64; }
  std::string_view algorithm() const override { return way_.name; }
  void run(Context& context, const Args& args) override {
    EXPECT_EQ(context.pool().thread_count(), 3);
    EXPECT_NO_THROW(check(args));
    ++way_.runs;
    std::this_thread::sleep_for(std::chrono::milliseconds(way_.milliseconds));
  }

 private:
  Way& way_;
};

class FakeProvider final : public Conv2dProvider {
 public:
  explicit FakeProvider(Way& way) : way_(way) {}
  std::string_view name() const override { return "fake"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem&) override {
    if (!way_.takes) return nullptr;
    return std::make_unique<Pass<Conv2dForward, Conv2dArgs>>(way_);
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem&) override {
    if (!way_.takes) return nullptr;
    return std::make_unique<Pass<Conv2dBackward, Conv2dGradArgs>>(way_);
  }

 private:
  Way& way_;
};

class Conv2dMeasuredProviderTest : public TempFolderTest {
 protected:
  std::unique_ptr<Conv2dProvider> provider(const std::vector<Way*>& ways,
                                           std::optional<Path> cache) {
    std::vector<std::unique_ptr<Conv2dProvider>> providers;
    for (Way* way : ways) providers.push_back(std::make_unique<FakeProvider>(*way));
    return cpu::make_measured_conv2d_provider(std::move(providers), std::move(cache), log_);
  }

  Log log_{stderr, LogLevel::quiet};
  Conv2dProblem problem_{.shape = kShape, .thread_count = 3};
};

TEST_F(Conv2dMeasuredProviderTest, TakesTheFastestOnceAndFindsItAgain) {
  Way slow{.name = "slow", .milliseconds = 20}, fast{.name = "fast"};
  for (const bool again : {false, true}) {
    slow.runs = fast.runs = 0;
    const auto forward = provider({&slow, &fast}, folder())->forward(problem_);
    const auto backward = provider({&slow, &fast}, folder())->backward(problem_);
    const std::string how = again ? " (cached)" : " (autotuned)";
    EXPECT_EQ(forward->algorithm(), "fake, fast" + how);
    EXPECT_EQ(backward->algorithm(), "fake, fast" + how);
    EXPECT_EQ(slow.runs > 0, !again);
    EXPECT_EQ(fast.runs > 0, !again);
  }
}

TEST_F(Conv2dMeasuredProviderTest, EveryQuestionHasAnAnswerOfItsOwn) {
  Way slow{.name = "slow", .milliseconds = 5}, fast{.name = "fast"};
  const auto measured = provider({&slow, &fast}, folder());
  std::vector<Conv2dProblem> problems(7, problem_);
  problems[1].shape.n = 3;
  problems[2].dtype = DType::bf16;
  problems[3].has_bias = false;
  problems[4].activation = Activation::relu;
  problems[5].dx = GradWrite::skip;
  problems[6].accumulate_parameters = true;
  for (const Conv2dProblem& problem : problems)
    EXPECT_THAT(std::string(measured->backward(problem)->algorithm()), HasSubstr("(autotuned)"));
}

TEST_F(Conv2dMeasuredProviderTest, TheRuleHoldsWhereNoChoiceCanBeKept) {
  Way first{.name = "first", .milliseconds = 5}, second{.name = "second"};
  problem_.deterministic = true;
  EXPECT_EQ(provider({&first, &second}, folder())->forward(problem_)->algorithm(),
            "fake, first (heuristic)");
  EXPECT_EQ(first.runs + second.runs, 0);
  problem_.deterministic = false;
  EXPECT_EQ(provider({&first, &second}, std::nullopt)->forward(problem_)->algorithm(),
            "fake, first (heuristic)");
}

TEST_F(Conv2dMeasuredProviderTest, AsksNobodyTwiceAndNothingWhereThereIsNoChoice) {
  Way one{.name = "one"}, same{.name = "one"}, refuses{.name = "two", .takes = false};
  EXPECT_EQ(provider({&refuses, &one, &same}, folder())->forward(problem_)->algorithm(),
            "fake, one (the only one)");
  EXPECT_EQ(one.runs + same.runs, 0);
  EXPECT_EQ(provider({&refuses}, folder())->forward(problem_), nullptr);
  EXPECT_EQ(provider({&refuses}, folder())->backward(problem_), nullptr);
}

// Runs the pass and returns its algorithm: "own, winograd 4x4 avx512 (autotuned)".
std::string run_forward(Conv2dProviders& providers, Context& c, const OwnedTensor& y) {
  const OwnedTensor x = random_tensor(kShape.input(), DType::f32, 1),
                    w = random_tensor(kShape.weights(), DType::f32, 2);
  const auto conv = providers.forward(problem_of(kShape, DType::f32, Activation::none, false, c));
  const Scratch scratch(conv->scratch_bytes());
  conv->run(c, {kShape, x, w, {}, y, Activation::none, scratch.data()});
  return std::string(conv->algorithm());
}

TEST_F(Conv2dMeasuredProviderTest, OfTheRealWaysOneIsTakenWithItsBits) {
  ASSERT_EQ(::setenv("KILN_CACHE_DIR", folder().c_str(), 1), 0);
  TestContext c;
  const auto make = [&](CpuConv2dAlgorithm algorithm) {
    return make_cpu_conv2d_providers(log_, CpuConv2dChoice::own, algorithm);
  };
  auto measured = make(CpuConv2dAlgorithm::measured), again = make(CpuConv2dAlgorithm::measured);
  const OwnedTensor y(kShape.output(), DType::f32), same(kShape.output(), DType::f32),
      plain(kShape.output(), DType::f32);
  const std::string chosen = run_forward(measured, c, y);
  EXPECT_THAT(chosen, HasSubstr("(autotuned)"));
  const std::string kept = run_forward(again, c, same);
  EXPECT_THAT(kept, HasSubstr("(cached)"));
  EXPECT_EQ(chosen.substr(0, chosen.find('(')), kept.substr(0, kept.find('(')));
  EXPECT_TRUE(bitwise_equal(y, same));
  auto named = make(chosen.starts_with("own, winograd") ? CpuConv2dAlgorithm::winograd
                                                        : CpuConv2dAlgorithm::direct);
  EXPECT_THAT(run_forward(named, c, plain), Not(HasSubstr("(")));
  EXPECT_TRUE(bitwise_equal(y, plain)) << chosen;
  ::unsetenv("KILN_CACHE_DIR");
}

TEST_F(Conv2dMeasuredProviderTest, ItsNameIsParsed) {
  EXPECT_EQ(parse_cpu_conv2d_algorithm("measure"), CpuConv2dAlgorithm::measured);
}

}  // namespace
}  // namespace kiln::test
