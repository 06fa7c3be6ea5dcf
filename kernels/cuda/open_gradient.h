// What a relu lets through on the way back.
#pragma once

#include "kernels/cuda/storage.h"

namespace kiln::cuda {

// dy where y > 0, else 0.
template <class T>
struct OpenGradient {
  __device__ Accumulated<T> operator()(std::int64_t, Accumulated<T> y, Accumulated<T> dy) const {
    return y > 0 ? dy : Accumulated<T>(0);
  }
};

}  // namespace kiln::cuda
