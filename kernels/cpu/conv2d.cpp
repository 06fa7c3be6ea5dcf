#include "kernels/include/conv2d.h"

#include "kernels/cpu/conv2d_bf16.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/conv2d_plain.h"
#include "kernels/cpu/conv2d_winograd.h"
#include "kernels/cpu/conv2d_winograd_rule.h"
#include "kernels/cpu/has_bf16.h"

namespace kiln {
namespace {

// Never in a build without it, which so has no call of it.
bool for_winograd(Filters packing) { return cpu::kHasWinograd && packing == Filters::transformed; }

}  // namespace

std::size_t conv2d_scratch_bytes(const Context& context, const Conv2dShape& shape, DType dtype,
                                 Filters filters) {
  const int threads = context.pool().thread_count();
  if (cpu::computes_bf16(dtype) && context.device().is_host())
    return cpu::conv2d_bf16_scratch_bytes(shape, threads);
  if (dtype != DType::f32) return 0;
  return for_winograd(filters) ? cpu::conv2d_winograd_scratch_bytes(shape, threads, filters)
                               : cpu::conv2d_f32_scratch_bytes(shape, threads, filters);
}

Filters conv2d_packing(const Conv2dShape& shape) {
  const bool pays = cpu::winograd_takes(shape) && cpu::winograd_pays_for_any_batch(shape);
  return cpu::kHasWinograd && pays ? Filters::transformed : Filters::packed;
}

std::int64_t conv2d_packed_count(const Conv2dShape& shape, Filters packing) {
  return for_winograd(packing) ? cpu::conv2d_winograd_packed_count(shape)
                               : cpu::conv2d_f32_packed_count(shape);
}

void conv2d_pack(const Conv2dShape& shape, const Tensor& w, const Tensor& packed, Filters packing) {
  check(shape);
  KILN_CHECK(packing == Filters::packed || cpu::winograd_takes(shape));
  KILN_CHECK(w.shape() == shape.weights() && w.device().is_host());
  KILN_CHECK(packed.shape() == Shape{conv2d_packed_count(shape, packing)});
  KILN_CHECK(packed.device().is_host());
  const auto pack = for_winograd(packing) ? cpu::conv2d_winograd_pack : cpu::conv2d_f32_pack;
  pack(shape, w.data<float>(), packed.data<float>());
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
  if (!args.packed.empty() && for_winograd(args.packing))
    conv2d_winograd(context, args);
  else if (args.x.dtype() == DType::f32)
    conv2d_f32(context, args);
  else if (computes_bf16(args.x.dtype()))
    conv2d_bf16(context, args);
  else
    conv2d_f64(context, args);
}

}  // namespace cpu
}  // namespace kiln
