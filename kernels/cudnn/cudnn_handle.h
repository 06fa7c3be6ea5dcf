// Owners of cuDNN's objects.
#pragma once

#include <cstdint>
#include <cudnn.h>
#include <string_view>

#include "kernels/include/conv2d_shape.h"

namespace kiln::cudnn {

// Throws Error (io) with cuDNN's name of the status.
void require_success(cudnnStatus_t status, std::string_view what);

// cuDNN's state on one device. Its work goes to the queue that `on` named last.
class CudnnHandle {
 public:
  // Throws Error (unsupported) where the device or cuDNN does not start.
  explicit CudnnHandle(int device_index);
  CudnnHandle(const CudnnHandle&) = delete;
  CudnnHandle& operator=(const CudnnHandle&) = delete;
  ~CudnnHandle();

  // Queues on `stream` from here on. One that it has already is not set again: a step that is
  // captured into a graph then changes nothing of the handle.
  cudnnHandle_t on(std::uintptr_t stream);
  cudnnHandle_t get() const { return handle_; }

 private:
  int device_index_;
  cudnnHandle_t handle_ = nullptr;
  std::uintptr_t stream_ = 0;  // cuDNN's first one is CUDA's default stream
};

class TensorDescriptor {
 public:
  // [n, h, w, c], channels last.
  TensorDescriptor(cudnnDataType_t type, std::int64_t n, std::int64_t h, std::int64_t w,
                   std::int64_t c);
  TensorDescriptor(const TensorDescriptor&) = delete;
  TensorDescriptor& operator=(const TensorDescriptor&) = delete;
  ~TensorDescriptor();
  cudnnTensorDescriptor_t get() const { return descriptor_; }

 private:
  cudnnTensorDescriptor_t descriptor_ = nullptr;
};

}  // namespace kiln::cudnn
