#include <algorithm>
#include <stdexcept>
#include <string>

#include "bench/cuda/device_clock.h"
#include "bench/cuda/mma_peak.h"
#include "engine/core/buffer.h"
#include "kernels/cuda/storage.h"

namespace kiln::bench {
namespace {

constexpr int kThreads = 256, kSums = 16, kRounds = 4096;

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

// Sixteen independent sums a thread hide the latency of one; the store keeps the compiler from
// dropping them.
__global__ void __launch_bounds__(kThreads) multiply_adds(float factor, float* sink) {
  float sum[kSums];
#pragma unroll
  for (int i = 0; i < kSums; ++i) sum[i] = static_cast<float>(threadIdx.x + i);
  for (int round = 0; round < kRounds; ++round) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) sum[i] = fmaf(sum[i], factor, 0.5f);
  }
  float total = 0;
#pragma unroll
  for (int i = 0; i < kSums; ++i) total += sum[i];
  sink[blockIdx.x * kThreads + threadIdx.x] = total;
}

// One 16-byte pack a thread.
__global__ void __launch_bounds__(kThreads) copy_packs(const float* from, float* to) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * 4;
  cuda::store_pack(to + i, cuda::load_pack<4>(from + i));
}

class Event {
 public:
  Event() { require(cudaEventCreate(&event_)); }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }  // NOLINT(google-explicit-constructor)

 private:
  cudaEvent_t event_ = nullptr;
};

cudaStream_t queue_of(Context& c) {
  return reinterpret_cast<cudaStream_t>(c.stream().native_handle());
}

// The best rate of ten runs of `amount`; a first one loads the kernel.
double best_rate(Context& c, double amount, const std::function<void()>& call) {
  double best = 0;
  device_seconds(c, 1, call);
  for (int run = 0; run < 10; ++run) best = std::max(best, amount / device_seconds(c, 1, call));
  return best;
}

double copy_rate(Context& c) {
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  const Buffer from(c.device(), kBytes), to(c.device(), kBytes);
  const auto* source = reinterpret_cast<const float*>(from.data());
  auto* target = reinterpret_cast<float*>(to.data());
  const double moved = 2.0 * static_cast<double>(kBytes);
  const double by_kernel = best_rate(c, moved, [&] {
    copy_packs<<<kBytes / 16 / kThreads, kThreads, 0, queue_of(c)>>>(source, target);
  });
  const double by_driver = best_rate(c, moved, [&] {
    require(cudaMemcpyAsync(to.data(), from.data(), kBytes, cudaMemcpyDeviceToDevice, queue_of(c)));
  });
  return std::max(by_kernel, by_driver);
}

double fma_rate(Context& c) {
  int processors = 0;
  require(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, c.device().index));
  const int blocks = 8 * processors;
  const std::size_t threads = static_cast<std::size_t>(blocks) * kThreads;
  const Buffer sink(c.device(), threads * sizeof(float));
  return best_rate(c, 2.0 * kSums * kRounds * static_cast<double>(threads), [&] {
    multiply_adds<<<blocks, kThreads, 0, queue_of(c)>>>(0.999f,
                                                        reinterpret_cast<float*>(sink.data()));
  });
}

}  // namespace

DevicePeaks measure_device_peaks(Context& c) {
  if (c.device().type != DeviceType::cuda) return {};
  return {.copy = copy_rate(c), .fma = fma_rate(c), .tensor_cores = measured_mma_peak()};
}

double device_seconds(Context& c, int calls, const std::function<void()>& call) {
  if (c.device().type != DeviceType::cuda) {
    for (int i = 0; i < calls; ++i) call();
    return 0;
  }
  const Event begin, end;
  require(cudaEventRecord(begin, queue_of(c)));
  for (int i = 0; i < calls; ++i) call();
  require(cudaEventRecord(end, queue_of(c)));
  require(cudaEventSynchronize(end));
  require(cudaGetLastError());
  float milliseconds = 0;
  require(cudaEventElapsedTime(&milliseconds, begin, end));
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace kiln::bench
