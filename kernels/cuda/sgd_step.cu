// sgd_step on a GPU: with momentum 20 bytes a weight in f32; with a 16-bit gradient and copy 20 too
// (w and buffer 8 read and 8 written, gradient 2, copy 2). At most 6 operations.
#include "kernels/common/normal_or_zero.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/loss_scale_update.h"
#include "kernels/include/sgd_step.h"

namespace kiln::cuda {
namespace {

// Compiled without contraction: a multiply-add is fused where it says fma and nowhere else, so that
// every device gives the same bits. `packs` threads do kPack neighbours each, the others one
// weight.
template <class T, class G>
struct SgdStep {
  static constexpr int kPack = static_cast<int>(16 / sizeof(T));
  T* w;
  const G* grad;
  T* buffer;                // null without momentum
  G* copy;                  // or null
  const float* loss_scale;  // or null
  T minus_lr, momentum, undamped, decay;
  bool use_decay, nesterov, first_step;
  const StepState* state;  // or null
  std::int64_t packs;

  __device__ void operator()(std::int64_t thread) const {
    if (loss_scale != nullptr && loss_scale[kFoundNonfinite] != 0) return;
    if (state != nullptr && state->halted != 0) return;
    if (thread < packs)
      update<kPack>(thread * kPack);
    else
      update<1>(packs * kPack + thread - packs);
  }
  template <int count>
  __device__ void update(std::int64_t first) const {
    const T unscale = loss_scale == nullptr ? T(1) : T(1) / static_cast<T>(loss_scale[kLossScale]);
    const bool first_update = state == nullptr ? first_step : state->step == 0;
    const T minus_rate = state == nullptr ? minus_lr : static_cast<T>(-state->rates.learning_rate);
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
    if constexpr (sizeof(G) == 2)
      if (copy != nullptr) store_copy(first, weights);
  }
  template <int count>
  __device__ void store_copy(std::int64_t first, const Pack<T, count>& weights) const {
    Pack<G, count> rounded;
    for (int i = 0; i < count; ++i) rounded.at[i] = stored<G>(weights.at[i]);
    store_pack(copy + first, rounded);
  }
};

template <class T, class G>
void run(Context& c, const SgdStepArgs& a) {
  SgdStep<T, G> body{.w = a.w.data<T>(),
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
                     .packs = 0};
  constexpr int kPack = SgdStep<T, G>::kPack;
  const std::int64_t count = a.w.element_count();
  if (packs_fit<T, kPack>(body.w) && packs_fit<G, kPack>(body.grad) &&
      packs_fit<T, kPack>(body.buffer) && packs_fit<G, kPack>(body.copy))
    body.packs = count / kPack;
  map(c, "sgd_step", body.packs + count - body.packs * kPack, body);
}

}  // namespace

void sgd_step(Context& c, const SgdStepArgs& a) {
  switch (a.grad.dtype()) {
    case DType::f16:
      return run<float, Float16>(c, a);
    case DType::bf16:
      return run<float, BFloat16>(c, a);
    case DType::f64:
      return run<double, double>(c, a);
    default:
      return run<float, float>(c, a);
  }
}

}  // namespace kiln::cuda
