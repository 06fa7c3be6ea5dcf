#include "kernels/cpu/conv2d_winograd_provider.h"

#include <algorithm>

#include "kernels/cpu/conv2d_problem.h"
#include "kernels/cpu/conv2d_winograd.h"
#include "kernels/cpu/conv2d_winograd_rule.h"
#include "kernels/cpu/isa.h"

namespace kiln::cpu {
namespace {

std::string name_algorithm(DType dtype) {
  return std::string(dtype == DType::bf16 ? "widening, " : "") + "winograd 4x4 " +
         std::string(name_of(isa()));
}

class WinogradForward final : public Conv2dForward {
 public:
  explicit WinogradForward(const Conv2dProblem& problem)
      : problem_(problem), algorithm_(name_algorithm(problem.dtype)) {}
  std::size_t scratch_bytes() const override {
    return conv2d_winograd_scratch_bytes(problem_.shape, problem_.thread_count);
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dArgs& args) override {
    KILN_CHECK(args.shape == problem_.shape && args.x.dtype() == problem_.dtype);
    KILN_CHECK(args.packed.empty());
    check_context(problem_, context);
    check(args);
    conv2d_winograd(context, args);
  }

 private:
  Conv2dProblem problem_;
  std::string algorithm_;
};

class WinogradBackward final : public Conv2dBackward {
 public:
  explicit WinogradBackward(const Conv2dProblem& problem)
      : problem_(problem), algorithm_(name_algorithm(problem.dtype)) {}
  std::size_t scratch_bytes() const override {
    const Conv2dShape& s = problem_.shape;
    const int threads = problem_.thread_count;
    const std::size_t dw =
        conv2d_dw_winograd_scratch_bytes(s, problem_.dtype, threads, parts_of(problem_));
    return problem_.wants_dx() ? std::max(dw, conv2d_dx_winograd_scratch_bytes(s, threads)) : dw;
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dGradArgs& args) override {
    KILN_CHECK(args.shape == problem_.shape && args.x.dtype() == problem_.dtype);
    KILN_CHECK(problem_.wants_dx() || !args.wants_dx());
    check_context(problem_, context);
    check(args);
    if (args.wants_dx()) conv2d_dx_winograd(context, args);
    conv2d_dw_winograd(context, args);
  }

 private:
  Conv2dProblem problem_;
  std::string algorithm_;
};

class WinogradProvider final : public Conv2dProvider {
 public:
  explicit WinogradProvider(CpuConv2dAlgorithm algorithm) : algorithm_(algorithm) {}
  std::string_view name() const override { return "own"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    if (!uses_winograd(problem, algorithm_)) return nullptr;
    return std::make_unique<WinogradForward>(problem);
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    if (!uses_winograd(problem, algorithm_)) return nullptr;
    return std::make_unique<WinogradBackward>(problem);
  }

 private:
  CpuConv2dAlgorithm algorithm_;
};

}  // namespace

std::unique_ptr<Conv2dProvider> make_winograd_conv2d_provider(CpuConv2dAlgorithm algorithm) {
  return std::make_unique<WinogradProvider>(algorithm);
}

}  // namespace kiln::cpu
