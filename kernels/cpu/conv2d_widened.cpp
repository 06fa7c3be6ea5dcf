// Convolution of bf16 by the kernels of f32: operands are widened whole, which is exact, and
// results narrowed.
#include <algorithm>

#include "kernels/common/ranges.h"
#include "kernels/cpu/conv2d_bf16.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/include/cast.h"

namespace kiln::cpu {
namespace {

// Hands out f32 tensors of a scratch region.
class Scratch {
 public:
  explicit Scratch(std::byte* at) : at_(at) {}
  Tensor tensor(const Shape& shape) {
    const Tensor t(at_, shape, DType::f32);
    at_ += bytes_of(shape);
    return t;
  }
  Tensor widened(Context& c, const Tensor& narrow) {
    const Tensor wide = tensor(narrow.shape());
    kiln::cast(c, {.x = narrow, .y = wide});
    return wide;
  }
  std::byte* rest() const { return at_; }

  static std::size_t bytes_of(const Shape& shape) {
    return static_cast<std::size_t>(whole_lines(shape.element_count())) * sizeof(float);
  }

 private:
  std::byte* at_;
};

std::size_t copies_bytes(const Conv2dShape& s) {
  return Scratch::bytes_of(s.input()) + Scratch::bytes_of(s.weights()) +
         Scratch::bytes_of(s.output());
}

}  // namespace

std::size_t conv2d_widened_scratch_bytes(const Conv2dShape& s, int thread_count) {
  return copies_bytes(s) + conv2d_f32_scratch_bytes(s, thread_count);
}

std::size_t conv2d_grad_widened_scratch_bytes(const Conv2dShape& s, int thread_count, int parts) {
  return copies_bytes(s) + std::max(conv2d_dx_f32_scratch_bytes(s, thread_count),
                                    conv2d_dw_f32_scratch_bytes(s, thread_count, parts));
}

void conv2d_widened(Context& context, const Conv2dArgs& a) {
  Scratch scratch(a.scratch);
  Conv2dArgs wide = a;
  wide.x = scratch.widened(context, a.x);
  wide.w = scratch.widened(context, a.w);
  wide.y = scratch.tensor(a.y.shape());
  wide.scratch = scratch.rest();
  conv2d_f32(context, wide);
  kiln::cast(context, {.x = wide.y, .y = a.y});
}

void conv2d_dx_widened(Context& context, const Conv2dGradArgs& a) {
  Scratch scratch(a.scratch);
  Conv2dGradArgs wide = a;
  wide.w = scratch.widened(context, a.w);
  wide.dy = scratch.widened(context, a.dy);
  wide.dx = a.mode == GradWrite::accumulate ? scratch.widened(context, a.dx)
                                            : scratch.tensor(a.dx.shape());
  wide.scratch = scratch.rest();
  conv2d_dx_f32(context, wide);
  kiln::cast(context, {.x = wide.dx, .y = a.dx});
}

void conv2d_dw_widened(Context& context, const Conv2dGradArgs& a) {
  Scratch scratch(a.scratch);
  Conv2dGradArgs wide = a;
  wide.x = scratch.widened(context, a.x);
  wide.dy = scratch.widened(context, a.dy);
  wide.scratch = scratch.rest();
  conv2d_dw_f32(context, wide);
}

}  // namespace kiln::cpu
