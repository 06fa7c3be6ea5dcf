// sgd_step on a GPU: one thread a weight; 12 bytes read and 8 written each in f32 with momentum.
#include "kernels/cuda/elementwise.h"
#include "kernels/include/sgd_step.h"

namespace kiln::cuda {
namespace {

// Compiled without contraction: a multiply-add is fused where it says fma and nowhere else, so that
// every device gives the same bits.
template <class T>
struct SgdStep {
  T* w;
  const T* grad;
  T* buffer;  // null without momentum
  T minus_lr, momentum, undamped, decay;
  bool use_decay, nesterov, first_step;

  __device__ void operator()(std::int64_t i) const {
    T g = grad[i];
    if (use_decay) g = std::fma(decay, w[i], g);
    if (buffer != nullptr) {
      const T b = first_step ? g : std::fma(undamped, g, momentum * buffer[i]);
      buffer[i] = b;
      g = nesterov ? std::fma(momentum, b, g) : b;
    }
    w[i] = std::fma(minus_lr, g, w[i]);
  }
};

}  // namespace

void sgd_step(Context& c, const SgdStepArgs& a) {
  visit_float(a.w.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map(c, "sgd_step", a.w.element_count(),
        SgdStep<T>{.w = a.w.data<T>(),
                   .grad = a.grad.data<T>(),
                   .buffer = a.momentum != 0 ? a.momentum_buffer.data<T>() : nullptr,
                   .minus_lr = static_cast<T>(-a.lr),
                   .momentum = static_cast<T>(a.momentum),
                   .undamped = static_cast<T>(1 - a.dampening),
                   .decay = static_cast<T>(a.weight_decay),
                   .use_decay = a.weight_decay != 0,
                   .nesterov = a.nesterov,
                   .first_step = a.first_step});
  });
}

}  // namespace kiln::cuda
