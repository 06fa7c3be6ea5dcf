// A convolution run for its time alone, on memory and a stream of its own.
// Not yet run on a GPU.
#pragma once

#include <cstddef>
#include <cuda_runtime_api.h>
#include <string>

#include "kernels/cudnn/conv_graph.h"
#include "kernels/cudnn/cudnn_handle.h"

namespace kiln::cudnn {

class ConvTrial {
 public:
  // Takes memory for the tensors of the problem, all zero, and the largest workspace. Throws Error
  // (io) where the device has none left. `handle` outlives it, and is back on CUDA's default stream
  // afterwards.
  ConvTrial(const ConvProblem& problem, CudnnHandle& handle);
  ~ConvTrial();
  ConvTrial(const ConvTrial&) = delete;
  ConvTrial& operator=(const ConvTrial&) = delete;

  // Microseconds of one run of a candidate that was built. Throws Error (io).
  double run_us(ConvGraph& graph, int candidate);

 private:
  void make(const ConvProblem& problem);
  void release();

  CudnnHandle& handle_;
  std::byte* memory_ = nullptr;
  ConvMemory tensors_;
  std::byte* workspace_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// What a timing depends on beside the problem, such as "cuDNN 91900, NVIDIA H200 9.0".
std::string tuned_for(int device_index);

}  // namespace kiln::cudnn
