// What every kernel file includes first: CUDA, or its stand-in on the host.
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "kernels/emu/shim.h"
#endif

#include <cstdint>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/cuda/launch.h"
