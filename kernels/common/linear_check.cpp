#include "kernels/include/linear.h"
#include "kernels/include/linear_grad.h"

namespace kiln {

void check(const LinearArgs& a) {
  require_float("linear", "x", a.x);
  KILN_CHECK(a.x.shape().rank() == 2 && a.w.shape().rank() == 2);
  const std::int64_t n = a.x.shape()[0], i = a.x.shape()[1], o = a.w.shape()[0];
  check_tensor(a.x, {n, i}, a.x);
  check_tensor(a.w, {o, i}, a.x);
  check_tensor(a.y, {n, o}, a.x);
  if (!a.bias.empty()) check_parameter(a.bias, {o}, a.x);
  KILN_CHECK(a.activation != Activation::gelu);
}

void check(const LinearGradArgs& a) {
  require_float("linear", "x", a.x);
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
