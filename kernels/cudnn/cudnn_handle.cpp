#include "kernels/cudnn/cudnn_handle.h"

#include <cuda_runtime_api.h>
#include <string>

#include "engine/core/error.h"

namespace kiln::cudnn {

void require_success(cudnnStatus_t status, std::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw Error(ErrorKind::io, "cuDNN",
              std::string(what) + " failed: " + cudnnGetErrorString(status));
}

CudnnHandle::CudnnHandle(int device_index) : device_index_(device_index) {
  const cudaError_t chosen = cudaSetDevice(device_index);
  if (chosen != cudaSuccess)
    throw Error(ErrorKind::unsupported, "cuDNN",
                std::string("cannot choose the device: ") + cudaGetErrorString(chosen));
  const cudnnStatus_t status = cudnnCreate(&handle_);
  if (status != CUDNN_STATUS_SUCCESS)
    throw Error(ErrorKind::unsupported, "cuDNN",
                std::string("does not start: ") + cudnnGetErrorString(status));
}

CudnnHandle::~CudnnHandle() { static_cast<void>(cudnnDestroy(handle_)); }

cudnnHandle_t CudnnHandle::on(std::uintptr_t stream) {
  // The current device belongs to the calling thread, which another device may have had last.
  if (cudaSetDevice(device_index_) != cudaSuccess)
    throw Error(ErrorKind::io, "cuda:" + std::to_string(device_index_), "cannot be chosen");
  if (stream == stream_) return handle_;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a stream travels as a number.
  require_success(cudnnSetStream(handle_, reinterpret_cast<cudaStream_t>(stream)),
                  "cudnnSetStream");
  stream_ = stream;
  return handle_;
}

TensorDescriptor::TensorDescriptor(cudnnDataType_t type, std::int64_t n, std::int64_t h,
                                   std::int64_t w, std::int64_t c) {
  require_success(cudnnCreateTensorDescriptor(&descriptor_), "cudnnCreateTensorDescriptor");
  const cudnnStatus_t status =
      cudnnSetTensor4dDescriptor(descriptor_, CUDNN_TENSOR_NHWC, type, static_cast<int>(n),
                                 static_cast<int>(c), static_cast<int>(h), static_cast<int>(w));
  if (status == CUDNN_STATUS_SUCCESS) return;
  cudnnDestroyTensorDescriptor(descriptor_);
  require_success(status, "cudnnSetTensor4dDescriptor");
}

TensorDescriptor::~TensorDescriptor() {
  static_cast<void>(cudnnDestroyTensorDescriptor(descriptor_));
}

}  // namespace kiln::cudnn
