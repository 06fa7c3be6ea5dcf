// What the optimizers' kernels share: packs of weights, scaled gradients, and the 16-bit copy.
#pragma once

#include "kernels/cuda/elementwise.h"
#include "kernels/include/loss_scale_update.h"
#include "kernels/include/step_state.h"

namespace kiln::cuda {

// Calls run(T{}, G{}) with the types of the weights and of the gradient.
template <class Run>
void visit_step_types(const Tensor& grad, const Run& run) {
  switch (grad.dtype()) {
    case DType::f16:
      return run(0.0F, Float16{});
    case DType::bf16:
      return run(0.0F, BFloat16{});
    case DType::f64:
      return run(0.0, 0.0);
    default:
      return run(0.0F, 0.0F);
  }
}

// False where a gradient or a loss was not finite: nothing may be written.
__device__ inline bool step_is_taken(const float* loss_scale, const StepState* state) {
  return (loss_scale == nullptr || loss_scale[kFoundNonfinite] == 0) &&
         (state == nullptr || state->halted == 0);
}

// What gradients are multiplied by. The scale is a power of two, so this is exact.
template <class T>
__device__ T unscale_of(const float* loss_scale) {
  return loss_scale == nullptr ? T(1) : T(1) / static_cast<T>(loss_scale[kLossScale]);
}

// copy = w, rounded once; G may be as wide as T, then there is no copy.
template <class T, class G, int count>
__device__ void store_step_copy(G* copy, std::int64_t first, const Pack<T, count>& weights) {
  if constexpr (sizeof(G) == 2) {
    if (copy == nullptr) return;
    Pack<G, count> rounded;
    for (int i = 0; i < count; ++i) rounded.at[i] = stored<G>(weights.at[i]);
    store_pack(copy + first, rounded);
  }
}

// body.update<n>(first) for n neighbours from `first` on: packs of 16 bytes of T, then the tail one
// by one.
template <class T, class Body>
struct SteppedPacks {
  static constexpr int kPack = static_cast<int>(16 / sizeof(T));
  Body body;
  std::int64_t packs;

  __device__ void operator()(std::int64_t thread) const {
    if (!step_is_taken(body.loss_scale, body.state)) return;
    if (thread < packs)
      body.template update<kPack>(thread * kPack);
    else
      body.template update<1>(packs * kPack + thread - packs);
  }
};

// Queues the above; `pointers` are what the body reads and writes, null where there is none.
template <class T, class Body, class... P>
void map_weights(Context& c, const char* name, std::int64_t count, const Body& body,
                 const P*... pointers) {
  constexpr int kPack = SteppedPacks<T, Body>::kPack;
  const bool fit = (packs_fit<P, kPack>(pointers) && ...);
  const std::int64_t packs = fit ? count / kPack : 0;
  map(c, name, packs + count - packs * kPack, SteppedPacks<T, Body>{body, packs});
}

}  // namespace kiln::cuda
