// Normalisation as the arguments of an op that turns bytes into a network's input.
#pragma once

#include "engine/data/normalisation.h"
#include "kernels/include/normalize_image.h"

namespace kiln {

// Args: NormalizeImageArgs or LoadBatchArgs.
template <class Args>
void set_input_scale(Args& args, const Normalisation& normalisation) {
  if (normalisation.mode == Normalisation::Mode::per_image) args.mode = NormalizeMode::per_image;
  for (std::size_t channel = 0; channel < normalisation.mean.size(); ++channel) {
    args.mean[channel] = static_cast<double>(normalisation.mean[channel]);
    args.inv_std[channel] = 1.0 / static_cast<double>(normalisation.std[channel]);
  }
}

}  // namespace kiln
