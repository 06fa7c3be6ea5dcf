// adadelta_step on a GPU: 28 bytes a weight in f32; with a 16-bit gradient and copy 28 too (w and
// both averages 12 read and 12 written, gradient 2, copy 2). About 12 operations, among them two
// square roots and a division.
#include "kernels/common/normal_or_zero.h"
#include "kernels/cuda/mixed_step.h"
#include "kernels/include/adadelta_step.h"

namespace kiln::cuda {
namespace {

// Compiled without contraction, as sgd_step is.
template <class T, class G>
struct AdadeltaStep {
  T* w;
  const G* grad;
  T *square_avg, *acc_delta;
  G* copy;                  // or null
  const float* loss_scale;  // or null
  T minus_lr, rho, rest, eps, decay;
  bool use_decay;
  const StepState* state;  // or null

  __device__ void advance(T g, T minus_rate, T& value, T& square, T& acc) const {
    if (use_decay) g = std::fma(decay, value, g);
    square = normal_or_zero(std::fma(rest * g, g, square * rho));
    const T delta = std::sqrt(acc + eps) / std::sqrt(square + eps) * g;
    acc = normal_or_zero(std::fma(rest * delta, delta, acc * rho));
    value = std::fma(minus_rate, delta, value);
  }
  template <int count>
  __device__ void update(std::int64_t first) const {
    const T unscale = unscale_of<T>(loss_scale);
    const T minus_rate = state == nullptr ? minus_lr : static_cast<T>(-state->rates.learning_rate);
    const Pack<G, count> gradients = load_pack<count>(grad + first);
    Pack<T, count> weights = load_pack<count>(w + first);
    Pack<T, count> squares = load_pack<count>(square_avg + first);
    Pack<T, count> deltas = load_pack<count>(acc_delta + first);
    for (int i = 0; i < count; ++i)
      advance(static_cast<T>(widened(gradients.at[i])) * unscale, minus_rate, weights.at[i],
              squares.at[i], deltas.at[i]);
    store_pack(w + first, weights);
    store_pack(square_avg + first, squares);
    store_pack(acc_delta + first, deltas);
    store_step_copy(copy, first, weights);
  }
};

}  // namespace

void adadelta_step(Context& c, const AdadeltaStepArgs& a) {
  visit_step_types(a.grad, [&]<class T, class G>(T, G) {
    const AdadeltaStep<T, G> body{.w = a.w.data<T>(),
                                  .grad = a.grad.data<G>(),
                                  .square_avg = a.square_avg.data<T>(),
                                  .acc_delta = a.acc_delta.data<T>(),
                                  .copy = optional_data<G>(a.copy),
                                  .loss_scale = optional_data<const float>(a.loss_scale),
                                  .minus_lr = static_cast<T>(-a.lr),
                                  .rho = static_cast<T>(a.rho),
                                  .rest = static_cast<T>(1 - a.rho),
                                  .eps = static_cast<T>(a.eps),
                                  .decay = static_cast<T>(a.weight_decay),
                                  .use_decay = a.weight_decay != 0,
                                  .state = a.state};
    map_weights<T>(c, "adadelta_step", a.w.element_count(), body, body.w, body.grad,
                   body.square_avg, body.acc_delta, body.copy);
  });
}

}  // namespace kiln::cuda
