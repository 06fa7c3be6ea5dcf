#include <algorithm>
#include <stdexcept>

#include "bench/cuda/mma_peak.h"
#include "kernels/cuda/mma.h"

namespace kiln::bench {
namespace {

constexpr int kThreads = 256, kSums = 8, kRounds = 4096;

// Eight independent sums a warp hide the latency of one; the store keeps the compiler from dropping
// them.
__global__ void __launch_bounds__(kThreads) multiply(float* sink) {
  float sum[kSums][4] = {};
  const std::uint32_t a[4] = {threadIdx.x, 1, 2, 3}, b[2] = {threadIdx.x, 5};
  for (int round = 0; round < kRounds; ++round) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) cuda::mma_m16n8k16<BFloat16>(sum[i], a, b);
  }
  float total = 0;
#pragma unroll
  for (int i = 0; i < kSums; ++i) total += sum[i][0] + sum[i][1] + sum[i][2] + sum[i][3];
  sink[blockIdx.x * kThreads + threadIdx.x] = total;
}

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

}  // namespace

double measured_mma_peak() {
  int processors = 0;
  require(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  const int blocks = 4 * processors;
  float* sink = nullptr;
  cudaEvent_t begin, end;
  require(cudaMalloc(&sink, sizeof(float) * static_cast<std::size_t>(blocks) * kThreads));
  require(cudaEventCreate(&begin));
  require(cudaEventCreate(&end));
  const double flops = 2.0 * 16 * 8 * 16 * kSums * kRounds * (kThreads / 32) * blocks;
  double best = 0;
  for (int run = 0; run < 11; ++run) {  // the first one loads the kernel
    require(cudaEventRecord(begin));
    multiply<<<blocks, kThreads>>>(sink);
    require(cudaEventRecord(end));
    require(cudaEventSynchronize(end));
    float milliseconds = 0;
    require(cudaEventElapsedTime(&milliseconds, begin, end));
    if (run > 0) best = std::max(best, flops / (static_cast<double>(milliseconds) * 1e-3));
  }
  require(cudaFree(sink));
  require(cudaEventDestroy(begin));
  require(cudaEventDestroy(end));
  return best;
}

}  // namespace kiln::bench
