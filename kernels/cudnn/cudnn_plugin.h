// The border between kiln and libkiln_cudnn.so, as in engine/core/backend.h: C++ on both sides, of
// one build, held to that by sizes. The library stays loaded for the life of the process.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln {

struct CudnnCaller {
  std::uint32_t version = 2;
  std::uint32_t problem_bytes = sizeof(Conv2dProblem);
  std::uint32_t args_bytes = sizeof(Conv2dArgs), grad_args_bytes = sizeof(Conv2dGradArgs);
  std::uint32_t context_bytes = sizeof(Context), options_bytes = sizeof(DeviceConv2dOptions);
  bool operator==(const CudnnCaller&) const = default;
};

struct CudnnPlugin {
  // Throws Error (unsupported) where cuDNN does not start on the device. `log` outlives it.
  std::unique_ptr<Conv2dProvider> (*make_provider)(Device device, Log& log,
                                                   const DeviceConv2dOptions& options) = nullptr;
};

// Null where the plug-in is of another build.
using CudnnEntry = const CudnnPlugin* (*)(const CudnnCaller* caller);
inline constexpr const char* kCudnnEntryName = "kiln_cudnn_plugin";

}  // namespace kiln
