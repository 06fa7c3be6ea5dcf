// The second half of batchnorm_train: the map over the rows, once the statistics are known.
#pragma once

#include "kernels/include/batchnorm_apply.h"
#include "kernels/include/batchnorm_train.h"

namespace kiln {

// `free` has room for two numbers a channel: scale and shift, where the caller keeps none.
inline BatchnormApplyArgs map_over_rows(const BatchnormTrainArgs& a, std::byte* free) {
  const Tensor& mean = a.saved_mean;
  const bool kept = !a.saved_scale.empty();
  const auto at = [&](std::byte* place) {
    return Tensor(place, mean.shape(), mean.dtype(), mean.device());
  };
  return {.x = a.x,
          .mean = mean,
          .scale = kept ? a.saved_scale : at(free),
          .shift = kept ? a.saved_shift : at(free + mean.size_bytes()),
          .y = a.y,
          .activation = a.activation};
}

}  // namespace kiln
