#include "kernels/include/conv2d_grad.h"

#include "kernels/cpu/conv2d_bf16.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/conv2d_plain.h"
#include "kernels/cpu/has_bf16.h"

namespace kiln {

std::size_t conv2d_grad_scratch_bytes(const Context& context, const Conv2dShape& shape,
                                      DType dtype) {
  const int threads = context.pool().thread_count(), parts = context.reduction_parts(shape.n);
  if (cpu::computes_bf16(dtype) && context.device().is_host())
    return cpu::conv2d_grad_bf16_scratch_bytes(shape, threads, parts);
  if (dtype == DType::f32)
    return std::max(cpu::conv2d_dx_f32_scratch_bytes(shape, threads),
                    cpu::conv2d_dw_f32_scratch_bytes(shape, threads, parts));
  const auto count = shape.weights().element_count() + shape.k;
  return static_cast<std::size_t>(parts * count) * size_of(dtype);
}

namespace cpu {
namespace {

void conv2d_dx_f64(Context& context, const Conv2dGradArgs& a) {
  const Conv2dShape& s = a.shape;
  const std::int64_t x_image = s.h * s.w * s.c, y_image = s.p() * s.q() * s.k;
  const double* w = a.w.data<double>();
  const double* dy = a.dy.data<double>();
  double* dx = a.dx.data<double>();
  context.pool().parallel_for(s.n, [&](std::int64_t n) {
    double* image = dx + n * x_image;
    if (a.mode == GradWrite::overwrite) std::fill_n(image, x_image, 0.0);
    plain::conv2d_image_dx(s, w, dy + n * y_image, image);
  });
}

void conv2d_dw_f64(Context& context, const Conv2dGradArgs& a) {
  const Conv2dShape& s = a.shape;
  const std::int64_t x_image = s.h * s.w * s.c, y_image = s.p() * s.q() * s.k;
  const std::int64_t dw_count = s.weights().element_count(), part_count = dw_count + s.k;
  const int parts = context.reduction_parts(s.n);
  const double* x = a.x.data<double>();
  const double* dy = a.dy.data<double>();
  double* partial = reinterpret_cast<double*>(a.scratch);
  context.pool().parallel_for(parts, [&](std::int64_t part) {
    double* sums = partial + part * part_count;
    std::fill_n(sums, part_count, 0.0);
    for (std::int64_t n = part * s.n / parts; n < (part + 1) * s.n / parts; ++n)
      plain::conv2d_image_dw(s, x + n * x_image, dy + n * y_image, sums, sums + dw_count);
  });
  const auto add_up = [&](double* to, std::int64_t count, std::int64_t offset) {
    for (std::int64_t i = 0; i < count; ++i) {
      double sum = a.accumulate_parameters ? to[i] : 0.0;
      for (int part = 0; part < parts; ++part) sum += partial[part * part_count + offset + i];
      to[i] = sum;
    }
  };
  add_up(a.dw.data<double>(), dw_count, 0);
  if (!a.dbias.empty()) add_up(a.dbias.data<double>(), s.k, dw_count);
}

}  // namespace

void conv2d_grad(Context& context, const Conv2dGradArgs& args) {
  if (args.x.dtype() == DType::f32) {
    if (args.wants_dx()) conv2d_dx_f32(context, args);
    conv2d_dw_f32(context, args);
  } else if (computes_bf16(args.x.dtype())) {
    if (args.wants_dx()) conv2d_dx_bf16(context, args);
    conv2d_dw_bf16(context, args, context.reduction_parts(args.shape.n));
  } else {
    if (args.wants_dx()) conv2d_dx_f64(context, args);
    conv2d_dw_f64(context, args);
  }
}

}  // namespace cpu
}  // namespace kiln
