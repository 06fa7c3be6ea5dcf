#include "kernels/include/linear.h"
#include "kernels/include/linear_grad.h"

namespace kiln {
namespace {

void check_float(const Tensor& x) {
  const DType dtype = x.dtype();
  if (dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16) return;
  if (dtype == DType::f16 && !x.device().is_host()) return;
  throw Error(ErrorKind::unsupported, "linear of " + std::string(name_of(dtype)),
              "is not supported on " + to_string(x.device()), "use bf16, f32 or f64");
}

void check_tensor(const Tensor& tensor, const Shape& shape, const Tensor& like) {
  KILN_CHECK(!tensor.empty() && tensor.shape() == shape);
  KILN_CHECK(tensor.dtype() == like.dtype() && tensor.device() == like.device());
}

// As check_tensor for bias, dw and dbias, which on the CPU have the type of sums.
void check_parameter(const Tensor& tensor, const Shape& shape, const Tensor& like) {
  const DType dtype = like.device().is_host() ? accumulation_type(like.dtype()) : like.dtype();
  KILN_CHECK(!tensor.empty() && tensor.shape() == shape);
  KILN_CHECK(tensor.dtype() == dtype && tensor.device() == like.device());
}

}  // namespace

void check(const LinearArgs& a) {
  check_float(a.x);
  KILN_CHECK(a.x.shape().rank() == 2 && a.w.shape().rank() == 2);
  const std::int64_t n = a.x.shape()[0], i = a.x.shape()[1], o = a.w.shape()[0];
  check_tensor(a.x, {n, i}, a.x);
  check_tensor(a.w, {o, i}, a.x);
  check_tensor(a.y, {n, o}, a.x);
  if (!a.bias.empty()) check_parameter(a.bias, {o}, a.x);
  KILN_CHECK(a.activation != Activation::gelu);
}

void check(const LinearGradArgs& a) {
  check_float(a.x);
  KILN_CHECK(a.x.shape().rank() == 2 && a.w.shape().rank() == 2);
  const std::int64_t n = a.x.shape()[0], i = a.x.shape()[1], o = a.w.shape()[0];
  check_tensor(a.x, {n, i}, a.x);
  check_tensor(a.w, {o, i}, a.x);
  check_tensor(a.dy, {n, o}, a.x);
  check_parameter(a.dw, {o, i}, a.x);
  KILN_CHECK(a.activation != Activation::gelu);
  if (a.activation == Activation::relu) check_tensor(a.y, {n, o}, a.x);
  if (a.wants_dx()) check_tensor(a.dx, {n, i}, a.x);
  if (!a.dbias.empty()) check_parameter(a.dbias, {o}, a.x);
}

}  // namespace kiln
