#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln {
namespace {

void check_float(const Tensor& x) {
  const DType dtype = x.dtype();
  if (dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16) return;
  if (dtype == DType::f16 && !x.device().is_host()) return;
  throw Error(ErrorKind::unsupported, "conv2d of " + std::string(name_of(dtype)),
              "is not supported on " + to_string(x.device()), "use bf16, f32 or f64");
}

// `tensor` is of `shape`, and of the type and on the device of `like`.
void check_tensor(const Tensor& tensor, const Shape& shape, const Tensor& like) {
  KILN_CHECK(!tensor.empty() && tensor.shape() == shape);
  KILN_CHECK(tensor.dtype() == like.dtype() && tensor.device() == like.device());
}

// Either w or packed, and that only for the CPU's f32 body.
void check_filters(const Conv2dArgs& a) {
  if (a.packed.empty()) return check_tensor(a.w, a.shape.weights(), a.x);
  KILN_CHECK(a.w.empty() && a.x.dtype() == DType::f32 && a.x.device().is_host());
  check_tensor(a.packed, {conv2d_packed_count(a.shape)}, a.x);
}

// As check_tensor for bias, dw and dbias, which on the CPU have the type of sums.
void check_parameter(const Tensor& tensor, const Shape& shape, const Tensor& like) {
  const DType dtype = like.device().is_host() ? accumulation_type(like.dtype()) : like.dtype();
  KILN_CHECK(!tensor.empty() && tensor.shape() == shape);
  KILN_CHECK(tensor.dtype() == dtype && tensor.device() == like.device());
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
  check_float(a.x);
  check_tensor(a.x, a.shape.input(), a.x);
  check_filters(a);
  check_tensor(a.y, a.shape.output(), a.x);
  if (!a.bias.empty()) check_parameter(a.bias, {a.shape.k}, a.x);
  KILN_CHECK(a.activation != Activation::gelu);
}

void check(const Conv2dGradArgs& a) {
  check(a.shape);
  check_float(a.x);
  check_tensor(a.x, a.shape.input(), a.x);
  check_tensor(a.w, a.shape.weights(), a.x);
  check_tensor(a.dy, a.shape.output(), a.x);
  check_parameter(a.dw, a.shape.weights(), a.x);
  if (a.wants_dx()) check_tensor(a.dx, a.shape.input(), a.x);
  if (!a.dbias.empty()) check_parameter(a.dbias, {a.shape.k}, a.x);
}

}  // namespace kiln
