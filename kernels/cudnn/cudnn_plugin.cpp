// The entry of libkiln_cudnn.so.
#include "kernels/cudnn/cudnn_plugin.h"

#include "kernels/cudnn/conv2d_cudnn_provider.h"

namespace {
constexpr kiln::CudnnPlugin kPlugin{.make_provider = kiln::cudnn::make_conv2d_provider};
}  // namespace

extern "C" __attribute__((visibility("default"))) const kiln::CudnnPlugin* kiln_cudnn_plugin(
    const kiln::CudnnCaller* caller) {
  return *caller == kiln::CudnnCaller{} ? &kPlugin : nullptr;
}
