// adam_step on a GPU: one thread a weight; 16 bytes read and 12 written each in f32.
#include <cmath>

#include "kernels/common/normal_or_zero.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/adam_step.h"

namespace kiln::cuda {
namespace {

template <class T>
struct AdamStep {
  T* w;
  const T* grad;
  T *exp_avg, *exp_avg_sq;
  T rest1, beta2, rest2, eps, decay;
  double weight_decay;
  bool use_decay, decoupled;
  StepRates rates;
  const StepState* state;  // or null: the rates above

  // start + rest1 (end - start), from the nearer end as torch.lerp does.
  __device__ T lerp(T start, T end) const {
    return rest1 < T(0.5) ? std::fma(rest1, end - start, start)
                          : std::fma(start - end, T(1) - rest1, end);
  }
  __device__ void operator()(std::int64_t i) const {
    if (state != nullptr && state->halted != 0) return;
    const StepRates now = state == nullptr ? rates : state->rates;
    const T minus_step = static_cast<T>(-now.adam_scale), root = static_cast<T>(now.adam_root);
    const T shrink = static_cast<T>(1 - now.learning_rate * weight_decay);
    T value = w[i], g = grad[i];
    if (use_decay && decoupled) value *= shrink;
    if (use_decay && !decoupled) g = std::fma(decay, value, g);
    const T first = normal_or_zero(lerp(exp_avg[i], g));
    const T second = std::fma(rest2 * g, g, exp_avg_sq[i] * beta2);
    exp_avg[i] = first;
    exp_avg_sq[i] = second;
    w[i] = value + minus_step * first / (std::sqrt(second) / root + eps);
  }
};

}  // namespace

void adam_step(Context& c, const AdamStepArgs& a) {
  visit_float(a.w.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map(c, "adam_step", a.w.element_count(),
        AdamStep<T>{.w = a.w.data<T>(),
                    .grad = a.grad.data<T>(),
                    .exp_avg = a.exp_avg.data<T>(),
                    .exp_avg_sq = a.exp_avg_sq.data<T>(),
                    .rest1 = static_cast<T>(1 - a.beta1),
                    .beta2 = static_cast<T>(a.beta2),
                    .rest2 = static_cast<T>(1 - a.beta2),
                    .eps = static_cast<T>(a.eps),
                    .decay = static_cast<T>(a.weight_decay),
                    .weight_decay = a.weight_decay,
                    .use_decay = a.weight_decay != 0,
                    .decoupled = a.decoupled,
                    .rates = step_rates(a.lr, a.beta1, a.beta2, a.step),
                    .state = a.state});
  });
}

}  // namespace kiln::cuda
