// What every CUDA test needs: a device or an honest skip, and checked calls.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>

namespace kiln::test {

inline constexpr int kSkipped = 77;

// Leaves the program as skipped, with the reason as its last line, unless a device can be used.
// Any error counts as "no device": without a driver the runtime reports several kinds.
inline void require_device() {
  int device_count = 0;
  const cudaError_t status = cudaGetDeviceCount(&device_count);
  if (status == cudaSuccess && device_count > 0) return;
  std::printf("SKIPPED: no CUDA device (%s)\n",
              status == cudaSuccess ? "none found" : cudaGetErrorString(status));
  std::exit(kSkipped);
}

inline void require_success(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "FAILED: %s: %s\n", call, cudaGetErrorString(status));
  std::exit(1);
}
#define KILN_TEST_CUDA(call) ::kiln::test::require_success((call), #call)

}  // namespace kiln::test
