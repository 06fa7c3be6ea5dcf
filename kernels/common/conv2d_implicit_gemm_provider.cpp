#include "kernels/common/conv2d_implicit_gemm_provider.h"

#include "engine/core/check.h"
#include "kernels/common/implicit_gemm_plan.h"

namespace kiln {
namespace {

// `tensor` is of `shape`, of the planned type, on the device of `like`, and its first element may
// be read as one of eight.
void check_tensor(const Tensor& tensor, const Shape& shape, DType dtype, const Tensor& like) {
  KILN_CHECK(!tensor.empty() && tensor.shape() == shape && tensor.dtype() == dtype);
  KILN_CHECK(tensor.device() == like.device());
  KILN_CHECK(reinterpret_cast<std::uintptr_t>(tensor.raw()) % 16 == 0);
}

class ImplicitGemmForward final : public Conv2dForward {
 public:
  explicit ImplicitGemmForward(const Conv2dProblem& problem)
      : shape_(problem.shape),
        dtype_(problem.dtype),
        algorithm_(plan_forward_gemm(shape_).text(dtype_)) {}

  std::size_t scratch_bytes() const override { return 0; }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dArgs& args) override {
    KILN_CHECK(args.shape == shape_);
    check_tensor(args.x, shape_.input(), dtype_, args.x);
    check_tensor(args.w, shape_.weights(), dtype_, args.x);
    check_tensor(args.y, shape_.output(), dtype_, args.x);
    if (!args.bias.empty()) check_tensor(args.bias, {shape_.k}, dtype_, args.x);
    on_device<Conv2dArgs>(context, Op::conv2d_implicit_gemm, args, nullptr);
  }

 private:
  Conv2dShape shape_;
  DType dtype_;
  std::string algorithm_;
};

class ImplicitGemmBackward final : public Conv2dBackward {
 public:
  explicit ImplicitGemmBackward(const Conv2dProblem& problem)
      : shape_(problem.shape),
        dtype_(problem.dtype),
        algorithm_("dw " + plan_dw_gemm(shape_).text(dtype_)) {
    if (problem.wants_dx())
      algorithm_ = "dx " + plan_dx_gemm(shape_).text(dtype_) + "; " + algorithm_;
  }

  std::size_t scratch_bytes() const override { return implicit_gemm_grad_scratch_bytes(shape_); }
  std::string_view algorithm() const override { return algorithm_; }
  void run(Context& context, const Conv2dGradArgs& args) override {
    KILN_CHECK(args.shape == shape_ && args.scratch != nullptr);
    check_tensor(args.x, shape_.input(), dtype_, args.x);
    check_tensor(args.w, shape_.weights(), dtype_, args.x);
    check_tensor(args.dy, shape_.output(), dtype_, args.x);
    if (args.wants_dx()) check_tensor(args.dx, shape_.input(), dtype_, args.x);
    check_tensor(args.dw, shape_.weights(), gradient_dtype(args.dw), args.x);
    if (!args.dbias.empty())
      check_tensor(args.dbias, {shape_.k}, gradient_dtype(args.dbias), args.x);
    on_device<Conv2dGradArgs>(context, Op::conv2d_implicit_gemm_grad, args, nullptr);
  }

 private:
  // Gradients of parameters are of the planned type or, for a master copy, f32.
  DType gradient_dtype(const Tensor& tensor) const {
    return tensor.dtype() == DType::f32 ? DType::f32 : dtype_;
  }

  Conv2dShape shape_;
  DType dtype_;
  std::string algorithm_;
};

class ImplicitGemmProvider final : public Conv2dProvider {
 public:
  std::string_view name() const override { return "own"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    if (!implicit_gemm_takes(problem.shape, problem.dtype)) return nullptr;
    return std::make_unique<ImplicitGemmForward>(problem);
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    if (!implicit_gemm_takes(problem.shape, problem.dtype)) return nullptr;
    return std::make_unique<ImplicitGemmBackward>(problem);
  }
};

}  // namespace

std::string ImplicitGemmPlan::text(DType dtype) const {
  const GemmTileExtent e = extent_of(tile);
  std::string text = "implicit GEMM " + std::to_string(e.rows) + "x" + std::to_string(e.columns) +
                     "x" + std::to_string(kGemmDepthStep) + " mma.sync " +
                     std::string(name_of(dtype));
  if (!vector) text += ", element by element";
  return text;
}

bool implicit_gemm_takes(const Conv2dShape& s, DType dtype) {
  if ((dtype != DType::f16 && dtype != DType::bf16) || s.groups != 1) return false;
  constexpr std::int64_t kLimit = std::int64_t{1} << 30;
  const std::int64_t reach_h = s.h + 2 * s.pad_h + s.dilation_h * s.r;
  const std::int64_t reach_w = s.w + 2 * s.pad_w + s.dilation_w * s.s;
  return s.input().element_count() < kLimit && s.weights().element_count() < kLimit &&
         s.output().element_count() < kLimit && reach_h < kLimit / 4 && reach_w < kLimit / 4;
}

std::unique_ptr<Conv2dProvider> make_implicit_gemm_provider() {
  return std::make_unique<ImplicitGemmProvider>();
}

}  // namespace kiln
