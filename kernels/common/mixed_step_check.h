// What the optimizers' ops share in mixed precision: w and state in f32, a copy of w in 16 bits,
// the gradient in its type, on the CPU in f32, and the scale of the loss.
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/loss_scale_update.h"

namespace kiln {

// `copy` and `loss_scale` may be empty.
inline void require_gradient(std::string_view op, const Tensor& w, const Tensor& grad,
                             const Tensor& copy, const Tensor& loss_scale) {
  require_wide(op, "w", w);
  require_float(op, "grad", grad);
  if (is_16_bit(grad.dtype())) {
    require(w.dtype() == DType::f32, op, "a 16-bit grad needs w in f32");
    require(!w.device().is_host(), op, "takes a gradient in 16 bits on devices only");
    require_tensor(op, "grad", grad, w.shape(), grad.dtype(), w.device());
    if (!copy.empty()) require_alike(op, {"grad", grad}, {{"copy", copy}});
  } else {
    require_alike(op, {"w", w}, {{"grad", grad}});
    require(copy.empty() || w.device().is_host(), op, "writes a copy only beside a 16-bit grad");
    require(copy.empty() || w.dtype() == DType::f32, op, "a 16-bit copy needs w in f32");
    if (!copy.empty()) require_tensor(op, "copy", copy, w.shape(), DType::bf16, w.device());
  }
  if (loss_scale.empty()) return;
  require(!w.device().is_host(), op, "the CPU scales no loss");
  require_tensor(op, "loss_scale", loss_scale, {kLossScaleSize}, DType::f32, w.device());
}

}  // namespace kiln
