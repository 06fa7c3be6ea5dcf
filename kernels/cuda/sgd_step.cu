// sgd_step on a GPU: with momentum 20 bytes a weight in f32; with a 16-bit gradient and copy 20 too
// (w and buffer 8 read and 8 written, gradient 2, copy 2). At most 6 operations.
#include "kernels/common/normal_or_zero.h"
#include "kernels/cuda/mixed_step.h"
#include "kernels/include/sgd_step.h"

namespace kiln::cuda {
namespace {

// Compiled without contraction: a multiply-add is fused where it says fma and nowhere else, so that
// every device gives the same bits.
template <class T, class G>
struct SgdStep {
  T* w;
  const G* grad;
  T* buffer;                // null without momentum
  G* copy;                  // or null
  const float* loss_scale;  // or null
  T minus_lr, momentum, undamped, decay;
  bool use_decay, nesterov, first_step;
  const StepState* state;  // or null
  int rate;

  template <int count>
  __device__ void update(std::int64_t first) const {
    const T unscale = unscale_of<T>(loss_scale);
    const bool first_update = state == nullptr ? first_step : state->step == 0;
    const T minus_rate = state == nullptr ? minus_lr : static_cast<T>(-rate_of(state->rates, rate));
    const Pack<G, count> gradients = load_pack<count>(grad + first);
    Pack<T, count> weights = load_pack<count>(w + first), buffers{};
    if (buffer != nullptr && !first_update) buffers = load_pack<count>(buffer + first);
    for (int i = 0; i < count; ++i) {
      T g = static_cast<T>(widened(gradients.at[i])) * unscale;
      if (use_decay) g = std::fma(decay, weights.at[i], g);
      if (buffer != nullptr) {
        const T b =
            first_update ? g : normal_or_zero(std::fma(undamped, g, momentum * buffers.at[i]));
        buffers.at[i] = b;
        g = nesterov ? std::fma(momentum, b, g) : b;
      }
      weights.at[i] = std::fma(minus_rate, g, weights.at[i]);
    }
    store_pack(w + first, weights);
    if (buffer != nullptr) store_pack(buffer + first, buffers);
    store_step_copy(copy, first, weights);
  }
};

}  // namespace

void sgd_step(Context& c, const SgdStepArgs& a) {
  visit_step_types(a.grad, [&]<class T, class G>(T, G) {
    const SgdStep<T, G> body{.w = a.w.data<T>(),
                             .grad = a.grad.data<const G>(),
                             .buffer = a.momentum != 0 ? a.momentum_buffer.data<T>() : nullptr,
                             .copy = optional_data<G>(a.copy),
                             .loss_scale = optional_data<const float>(a.loss_scale),
                             .minus_lr = static_cast<T>(-a.lr),
                             .momentum = static_cast<T>(a.momentum),
                             .undamped = static_cast<T>(1 - a.dampening),
                             .decay = static_cast<T>(a.weight_decay),
                             .use_decay = a.weight_decay != 0,
                             .nesterov = a.nesterov,
                             .first_step = a.first_step,
                             .state = a.state,
                             .rate = a.rate};
    map_weights<T>(c, "sgd_step", a.w.element_count(), body, body.w, body.grad, body.buffer,
                   body.copy);
  });
}

}  // namespace kiln::cuda
