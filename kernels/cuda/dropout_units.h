// Which unit of the mask an element belongs to.
#pragma once

#include "kernels/common/dropout_mask.h"
#include "kernels/cuda/storage.h"
#include "kernels/include/step_state.h"

namespace kiln::cuda {

struct DropoutUnits {
  DropoutMask mask;
  std::int64_t picture = 0, channels = 0;  // elements of a picture; 0: a unit is an element
  const StepState* state = nullptr;        // where not null, the key is made of its numbers
  std::uint32_t layer_id = 0;

  __device__ DropoutMask current_mask() const {
    DropoutMask now = mask;
    if (state == nullptr) return now;
    now.key = dropout_key(state->seed, state->epoch, state->step, layer_id);
    now.epoch = state->epoch;
    return now;
  }
  // The factor of element i: 0 or 1 / (1 - p).
  __device__ double factor(std::int64_t i) const {
    const std::int64_t unit =
        picture == 0 ? i : i / picture * channels + i % channels;  // [N,H,W,C]: n, c
    const DropoutMask now = current_mask();
    return now.kept(static_cast<std::uint64_t>(unit)) ? now.keep_scale : 0.0;
  }
};

// x through the mask.
template <class T>
struct Masked {
  DropoutUnits units;
  __device__ Accumulated<T> operator()(std::int64_t i, Accumulated<T> x) const {
    return x * static_cast<Accumulated<T>>(units.factor(i));
  }
};

template <class Args>
DropoutUnits dropout_units(const Args& a, const Shape& shape) {
  DropoutUnits units{.mask = make_dropout_mask(a.p, a.seed, a.epoch, a.step, a.layer_id),
                     .state = a.state,
                     .layer_id = a.layer_id};
  if (a.channel) {
    units.picture = shape[1] * shape[2] * shape[3];
    units.channels = shape[3];
  }
  return units;
}

}  // namespace kiln::cuda
