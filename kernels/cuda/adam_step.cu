// adam_step on a GPU: 28 bytes a weight in f32; with a 16-bit gradient and copy 28 too (w and both
// averages 12 read and 12 written, gradient 2, copy 2). About 14 operations, among them a square
// root and a division.
#include <cmath>

#include "kernels/common/normal_or_zero.h"
#include "kernels/cuda/mixed_step.h"
#include "kernels/include/adam_step.h"

namespace kiln::cuda {
namespace {

// Compiled without contraction, as sgd_step is.
template <class T, class G>
struct AdamStep {
  T* w;
  const G* grad;
  T *exp_avg, *exp_avg_sq;
  G* copy;                  // or null
  const float* loss_scale;  // or null
  T rest1, beta2, rest2, eps, decay;
  double weight_decay;
  bool use_decay, decoupled;
  StepRates rates;
  const StepState* state;  // or null: the rates above

  struct Numbers {
    T minus_step, root, shrink;
  };
  __device__ Numbers numbers() const {
    const StepRates now = state == nullptr ? rates : state->rates;
    return {static_cast<T>(-now.adam_scale), static_cast<T>(now.adam_root),
            static_cast<T>(1 - now.learning_rate * weight_decay)};
  }
  // start + rest1 (end - start), from the nearer end as torch.lerp does.
  __device__ T lerp(T start, T end) const {
    return rest1 < T(0.5) ? std::fma(rest1, end - start, start)
                          : std::fma(start - end, T(1) - rest1, end);
  }
  __device__ void advance(T g, const Numbers& now, T& value, T& first, T& second) const {
    if (use_decay && decoupled) value *= now.shrink;
    if (use_decay && !decoupled) g = std::fma(decay, value, g);
    first = normal_or_zero(lerp(first, g));
    second = std::fma(rest2 * g, g, second * beta2);
    value = value + now.minus_step * first / (std::sqrt(second) / now.root + eps);
  }
  template <int count>
  __device__ void update(std::int64_t begin) const {
    const T unscale = unscale_of<T>(loss_scale);
    const Numbers now = numbers();
    const Pack<G, count> gradients = load_pack<count>(grad + begin);
    Pack<T, count> weights = load_pack<count>(w + begin);
    Pack<T, count> first = load_pack<count>(exp_avg + begin);
    Pack<T, count> second = load_pack<count>(exp_avg_sq + begin);
    for (int i = 0; i < count; ++i)
      advance(static_cast<T>(widened(gradients.at[i])) * unscale, now, weights.at[i], first.at[i],
              second.at[i]);
    store_pack(w + begin, weights);
    store_pack(exp_avg + begin, first);
    store_pack(exp_avg_sq + begin, second);
    store_step_copy(copy, begin, weights);
  }
};

}  // namespace

void adam_step(Context& c, const AdamStepArgs& a) {
  visit_step_types(a.grad, [&]<class T, class G>(T, G) {
    const AdamStep<T, G> body{.w = a.w.data<T>(),
                              .grad = a.grad.data<G>(),
                              .exp_avg = a.exp_avg.data<T>(),
                              .exp_avg_sq = a.exp_avg_sq.data<T>(),
                              .copy = optional_data<G>(a.copy),
                              .loss_scale = optional_data<const float>(a.loss_scale),
                              .rest1 = static_cast<T>(1 - a.beta1),
                              .beta2 = static_cast<T>(a.beta2),
                              .rest2 = static_cast<T>(1 - a.beta2),
                              .eps = static_cast<T>(a.eps),
                              .decay = static_cast<T>(a.weight_decay),
                              .weight_decay = a.weight_decay,
                              .use_decay = a.weight_decay != 0,
                              .decoupled = a.decoupled,
                              .rates = step_rates(a.lr, a.beta1, a.beta2, a.step),
                              .state = a.state};
    map_weights<T>(c, "adam_step", a.w.element_count(), body, body.w, body.grad, body.exp_avg,
                   body.exp_avg_sq, body.copy);
  });
}

}  // namespace kiln::cuda
