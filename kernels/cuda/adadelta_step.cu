// adadelta_step on a GPU: one thread a weight; 16 bytes read and 12 written each in f32.
#include "kernels/common/normal_or_zero.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/adadelta_step.h"

namespace kiln::cuda {
namespace {

template <class T>
struct AdadeltaStep {
  T* w;
  const T* grad;
  T *square_avg, *acc_delta;
  T minus_lr, rho, rest, eps, decay;
  bool use_decay;
  const StepState* state;  // or null

  __device__ void operator()(std::int64_t i) const {
    if (state != nullptr && state->halted != 0) return;
    const T minus_rate = state == nullptr ? minus_lr : static_cast<T>(-state->rates.learning_rate);
    T g = grad[i];
    if (use_decay) g = std::fma(decay, w[i], g);
    const T square = normal_or_zero(std::fma(rest * g, g, square_avg[i] * rho));
    square_avg[i] = square;
    const T acc = acc_delta[i];
    const T delta = std::sqrt(acc + eps) / std::sqrt(square + eps) * g;
    acc_delta[i] = normal_or_zero(std::fma(rest * delta, delta, acc * rho));
    w[i] = std::fma(minus_rate, delta, w[i]);
  }
};

}  // namespace

void adadelta_step(Context& c, const AdadeltaStepArgs& a) {
  visit_float(a.w.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map(c, "adadelta_step", a.w.element_count(),
        AdadeltaStep<T>{.w = a.w.data<T>(),
                        .grad = a.grad.data<T>(),
                        .square_avg = a.square_avg.data<T>(),
                        .acc_delta = a.acc_delta.data<T>(),
                        .minus_lr = static_cast<T>(-a.lr),
                        .rho = static_cast<T>(a.rho),
                        .rest = static_cast<T>(1 - a.rho),
                        .eps = static_cast<T>(a.eps),
                        .decay = static_cast<T>(a.weight_decay),
                        .use_decay = a.weight_decay != 0,
                        .state = a.state});
  });
}

}  // namespace kiln::cuda
