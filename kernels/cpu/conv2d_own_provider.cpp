#include "kernels/cpu/conv2d_own_provider.h"

#include <algorithm>

#include "kernels/cpu/conv2d_bf16.h"
#include "kernels/cpu/conv2d_depthwise.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/conv2d_problem.h"
#include "kernels/cpu/has_bf16.h"
#include "kernels/cpu/isa.h"

namespace kiln::cpu {
namespace {

// Such as "direct 14x32 avx512": the register block that the output channels begin with.
std::string name_algorithm(DType dtype, const Conv2dShape& s) {
  if (dtype == DType::f64) return "plain loops";
  if (is_depthwise(s))
    return std::string(dtype == DType::bf16 ? "widened, " : "") + "depthwise " +
           std::string(name_of(isa()));
  if (computes_bf16(dtype) && conv2d_takes_pairs(s)) return "pairs avx512_bf16";
  const GemmColumns block = gemm_tile().block(s.k / s.groups);
  return std::string(dtype == DType::bf16 ? "widening, " : "") + "direct " +
         std::to_string(block.max_rows) + "x" + std::to_string(block.width) + " " +
         std::string(name_of(isa()));
}

class OwnForward final : public Conv2dForward {
 public:
  explicit OwnForward(const Conv2dProblem& problem)
      : problem_(problem), algorithm_(name_algorithm(problem.dtype, problem.shape)) {}
  std::size_t scratch_bytes() const override {
    if (computes_bf16(problem_.dtype))
      return conv2d_bf16_scratch_bytes(problem_.shape, problem_.thread_count);
    if (problem_.dtype != DType::f32) return 0;
    return conv2d_f32_scratch_bytes(problem_.shape, problem_.thread_count);
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dArgs& args) override {
    KILN_CHECK(args.shape == problem_.shape && args.x.dtype() == problem_.dtype);
    check_context(problem_, context);
    kiln::conv2d(context, args);
  }

 private:
  Conv2dProblem problem_;
  std::string algorithm_;
};

class OwnBackward final : public Conv2dBackward {
 public:
  explicit OwnBackward(const Conv2dProblem& problem)
      : problem_(problem), algorithm_(name_algorithm(problem.dtype, problem.shape)) {}
  std::size_t scratch_bytes() const override {
    const Conv2dShape& s = problem_.shape;
    const int parts = parts_of(problem_);
    if (computes_bf16(problem_.dtype))
      return conv2d_grad_bf16_scratch_bytes(s, problem_.thread_count, parts);
    if (problem_.dtype != DType::f32)
      return static_cast<std::size_t>(parts * (s.weights().element_count() + s.k)) *
             size_of(problem_.dtype);
    const std::size_t dw = conv2d_dw_f32_scratch_bytes(s, problem_.thread_count, parts);
    if (!problem_.wants_dx()) return dw;
    return std::max(dw, conv2d_dx_f32_scratch_bytes(s, problem_.thread_count));
  }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dGradArgs& args) override {
    KILN_CHECK(args.shape == problem_.shape && args.x.dtype() == problem_.dtype);
    KILN_CHECK(problem_.wants_dx() || !args.wants_dx());
    check_context(problem_, context);
    kiln::conv2d_grad(context, args);
  }

 private:
  Conv2dProblem problem_;
  std::string algorithm_;
};

bool takes(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || computes_bf16(dtype);
}

class OwnProvider final : public Conv2dProvider {
 public:
  std::string_view name() const override { return "own"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    if (!takes(problem.dtype)) return nullptr;
    return std::make_unique<OwnForward>(problem);
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    if (!takes(problem.dtype)) return nullptr;
    return std::make_unique<OwnBackward>(problem);
  }
};

}  // namespace

std::unique_ptr<Conv2dProvider> make_own_conv2d_provider() {
  return std::make_unique<OwnProvider>();
}

}  // namespace kiln::cpu
