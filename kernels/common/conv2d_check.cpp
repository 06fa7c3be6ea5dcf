#include "kernels/cpu/conv2d_winograd_rule.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln {
namespace {

// Either w or packed, and that only for the CPU's f32 body.
void check_filters(const Conv2dArgs& a) {
  if (a.packed.empty()) return check_tensor(a.w, a.shape.weights(), a.x);
  KILN_CHECK(a.w.empty() && a.x.dtype() == DType::f32 && a.x.device().is_host());
  KILN_CHECK(a.packing == Filters::packed || cpu::winograd_takes(a.shape));
  check_tensor(a.packed, {conv2d_packed_count(a.shape, a.packing)}, a.x);
}

}  // namespace

void check(const Conv2dShape& s) {
  const bool positive = s.n > 0 && s.h > 0 && s.w > 0 && s.c > 0 && s.k > 0 && s.r > 0 && s.s > 0 &&
                        s.stride_h > 0 && s.stride_w > 0 && s.dilation_h > 0 && s.dilation_w > 0 &&
                        s.groups > 0 && s.pad_h >= 0 && s.pad_w >= 0;
  const auto refuse = [&](const char* wrong) {
    throw Error(ErrorKind::unsupported, "convolution " + to_string(s), wrong);
  };
  if (!positive) refuse("has an extent, stride, dilation or group count below 1");
  if (s.h + 2 * s.pad_h <= s.dilation_h * (s.r - 1) ||
      s.w + 2 * s.pad_w <= s.dilation_w * (s.s - 1))
    refuse("has a window larger than the padded image");
  if (s.c % s.groups != 0 || s.k % s.groups != 0)
    refuse("has channel counts that the group count does not divide");
}

void check(const Conv2dArgs& a) {
  check(a.shape);
  require_float("conv2d", "x", a.x);
  check_tensor(a.x, a.shape.input(), a.x);
  check_filters(a);
  check_tensor(a.y, a.shape.output(), a.x);
  if (!a.bias.empty()) check_parameter(a.bias, {a.shape.k}, a.x);
  KILN_CHECK(a.activation != Activation::gelu);
}

void check(const Conv2dGradArgs& a) {
  check(a.shape);
  require_float("conv2d", "x", a.x);
  check_tensor(a.x, a.shape.input(), a.x);
  check_tensor(a.w, a.shape.weights(), a.x);
  check_tensor(a.dy, a.shape.output(), a.x);
  check_parameter(a.dw, a.shape.weights(), a.x);
  if (a.wants_dx()) check_tensor(a.dx, a.shape.input(), a.x);
  if (!a.dbias.empty()) check_parameter(a.dbias, {a.shape.k}, a.x);
}

}  // namespace kiln
