#include "kernels/include/conv2d.h"

#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/conv2d_plain.h"

namespace kiln {

std::size_t conv2d_scratch_bytes(const Context& context, const Conv2dShape& shape, DType dtype) {
  if (dtype != DType::f32) return 0;
  return cpu::conv2d_f32_scratch_bytes(shape, context.pool().thread_count());
}

namespace cpu {
namespace {

void conv2d_f64(Context& context, const Conv2dArgs& a) {
  const Conv2dShape& s = a.shape;
  const std::int64_t x_image = s.h * s.w * s.c, y_image = s.p() * s.q() * s.k;
  const double* x = a.x.data<double>();
  const double* w = a.w.data<double>();
  const double* bias = a.bias.empty() ? nullptr : a.bias.data<double>();
  double* y = a.y.data<double>();
  context.pool().parallel_for(s.n, [&](std::int64_t n) {
    plain::conv2d_image(s, x + n * x_image, w, bias, a.activation, y + n * y_image);
  });
}

}  // namespace

void conv2d(Context& context, const Conv2dArgs& args) {
  if (args.x.dtype() == DType::f32)
    conv2d_f32(context, args);
  else
    conv2d_f64(context, args);
}

}  // namespace cpu
}  // namespace kiln
