// A fixture of tools/check_kernel_resources.py, never run: two blocks of 1024 threads on a
// multiprocessor leave 32 registers a thread, which do not hold 64 sums.
__global__ void __launch_bounds__(1024, 2) spilling_kernel(const float* x, float* y) {
  float sum[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) sum[i] = x[i * 1024 + threadIdx.x];
  for (int step = 0; step < 100; ++step) {
#pragma unroll
    for (int i = 0; i < 64; ++i) sum[i] = sum[i] * sum[(i + 1) % 64] + x[step];
  }
#pragma unroll
  for (int i = 0; i < 64; ++i) y[i * 1024 + threadIdx.x] = sum[i];
}
