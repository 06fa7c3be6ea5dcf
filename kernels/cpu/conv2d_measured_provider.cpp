#include "kernels/cpu/conv2d_measured_provider.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/core/buffer.h"
#include "engine/core/cpu_model.h"
#include "kernels/common/plan_choice.h"
#include "kernels/cpu/isa.h"

namespace kiln::cpu {
namespace {

std::string key_of(const Conv2dProblem& p, std::string_view pass) {
  std::string key = cpu_model() + ", " + std::string(name_of(isa())) +
                    (has_bf16_dots() ? " with pairs, " : ", ") + std::to_string(p.thread_count) +
                    " threads, " + std::string(pass) + ", " + std::string(name_of(p.dtype)) + ", " +
                    to_string(p.shape);
  if (p.has_bias) key += ", bias";
  if (p.activation == Activation::relu) key += ", relu";
  if (p.dx == GradWrite::accumulate) key += ", dx added";
  if (p.accumulate_parameters) key += ", dw added";
  return key;
}

// What a problem reads and writes, all ones, and what a way works in.
class Trial {
 public:
  explicit Trial(const Conv2dProblem& problem)
      : problem_(problem), pool_(problem.thread_count), context_({}, pool_, log_) {}

  double run_us(Conv2dForward& way) {
    const Conv2dShape& s = problem_.shape;
    const Conv2dArgs args{.shape = s,
                          .x = x_,
                          .w = w_,
                          .bias = problem_.has_bias ? bias_ : Tensor{},
                          .y = y_,
                          .activation = problem_.activation,
                          .scratch = scratch(way.scratch_bytes())};
    return microseconds([&] { way.run(context_, args); });
  }
  double run_us(Conv2dBackward& way) {
    const Conv2dGradArgs args{.shape = problem_.shape,
                              .x = x_,
                              .w = w_,
                              .dy = y_,
                              .dx = problem_.wants_dx() ? dx_ : Tensor{},
                              .dw = dw_,
                              .dbias = problem_.has_bias ? bias_ : Tensor{},
                              .mode = problem_.dx,
                              .accumulate_parameters = problem_.accumulate_parameters,
                              .scratch = scratch(way.scratch_bytes())};
    return microseconds([&] { way.run(context_, args); });
  }

 private:
  Tensor tensor(const Shape& shape, DType dtype) {
    const std::size_t size = static_cast<std::size_t>(shape.element_count()) * size_of(dtype);
    Buffer& home = buffers_.emplace_back(Device{}, size);
    // 1 as a pair of bf16 is a float that is nearly 1.
    std::fill_n(reinterpret_cast<std::uint32_t*>(home.data()), size / sizeof(std::uint32_t),
                0x3f803f80u);
    return {home.data(), shape, dtype, Device{}};
  }
  std::byte* scratch(std::size_t size) {
    if (scratch_.size_bytes() < size) scratch_ = Buffer(Device{}, size);
    return scratch_.data();
  }
  template <class Run>
  static double microseconds(const Run& run) {
    const auto start = std::chrono::steady_clock::now();
    run();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
        .count();
  }

  Conv2dProblem problem_;
  Log log_{stderr, LogLevel::quiet};
  ThreadPool pool_;
  Context context_;
  std::vector<Buffer> buffers_;
  Buffer scratch_;
  const DType parameter_ = accumulation_type(problem_.dtype);
  const Tensor x_ = tensor(problem_.shape.input(), problem_.dtype);
  const Tensor w_ = tensor(problem_.shape.weights(), problem_.dtype);
  const Tensor y_ = tensor(problem_.shape.output(), problem_.dtype);
  const Tensor dx_ = tensor(problem_.shape.input(), problem_.dtype);
  const Tensor dw_ = tensor(problem_.shape.weights(), parameter_);
  const Tensor bias_ = tensor({problem_.shape.k}, parameter_);
};

// The chosen way, whose algorithm says how it was chosen. `Pass` is a Conv2dForward or
// Conv2dBackward, which run with `Args`.
template <class Pass, class Args>
class Chosen final : public Pass {
 public:
  Chosen(std::unique_ptr<Pass> way, std::string algorithm)
      : way_(std::move(way)), algorithm_(std::move(algorithm)) {}
  std::size_t scratch_bytes() const override { return way_->scratch_bytes(); }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Args& args) override { way_->run(context, args); }

 private:
  std::unique_ptr<Pass> way_;
  std::string algorithm_;
};

class MeasuredProvider final : public Conv2dProvider {
 public:
  MeasuredProvider(std::vector<std::unique_ptr<Conv2dProvider>> ways, std::optional<Path> folder,
                   Log& log)
      : ways_(std::move(ways)), cache_(std::move(folder), log), log_(&log) {}

  std::string_view name() const override { return "measured"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    return choose<Conv2dForward, Conv2dArgs>(
        problem, "forward", [&](Conv2dProvider& way) { return way.forward(problem); });
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    return choose<Conv2dBackward, Conv2dGradArgs>(
        problem, problem.wants_dx() ? "backward" : "backward without dx",
        [&](Conv2dProvider& way) { return way.backward(problem); });
  }

 private:
  template <class Pass, class Args, class Make>
  std::unique_ptr<Pass> choose(const Conv2dProblem& problem, std::string_view pass,
                               const Make& make) {
    std::vector<std::unique_ptr<Pass>> taken;
    std::vector<std::string> names;
    for (const auto& way : ways_) {
      auto made = make(*way);
      if (!made) continue;
      std::string name = std::string(way->name()) + ", " + std::string(made->algorithm());
      if (std::ranges::find(names, name) != names.end()) continue;
      names.push_back(std::move(name));
      taken.push_back(std::move(made));
    }
    if (taken.empty()) return nullptr;
    std::optional<Trial> trial;
    const PlanTrials trials{.prepare = [](int) { return true; },
                            .run_us =
                                [&](int candidate) {
                                  if (!trial) trial.emplace(problem);
                                  return trial->run_us(*taken[static_cast<std::size_t>(candidate)]);
                                }};
    const bool several = taken.size() > 1 && !problem.deterministic;
    const auto choice =
        choose_plan(key_of(problem, pass), names, trials, several ? &cache_ : nullptr, *log_);
    KILN_CHECK(choice.has_value());
    const auto at = static_cast<std::size_t>(choice->candidate);
    const std::string how =
        taken.size() > 1 ? std::string(name_of(choice->source)) : "the only one";
    return std::make_unique<Chosen<Pass, Args>>(std::move(taken[at]), names[at] + " (" + how + ")");
  }

  std::vector<std::unique_ptr<Conv2dProvider>> ways_;
  PlanCache cache_;
  Log* log_;
};

}  // namespace

std::unique_ptr<Conv2dProvider> make_measured_conv2d_provider(
    std::vector<std::unique_ptr<Conv2dProvider>> ways, std::optional<Path> cache_folder, Log& log) {
  return std::make_unique<MeasuredProvider>(std::move(ways), std::move(cache_folder), log);
}

}  // namespace kiln::cpu
