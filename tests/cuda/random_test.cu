// Random numbers are the same bits on the device as on the host.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <cuda_runtime.h>
#include <vector>

#include "engine/core/rng.h"
#include "tests/cuda/device_test.h"

namespace {

using kiln::PhiloxBlock;
using kiln::RandomStream;

// The known answer of Philox4x32-10 for counter 0 and key 0 (Random123's kat_vectors), evaluated by
// nvcc's host front end.
constexpr PhiloxBlock kZero = kiln::philox4x32({{0, 0, 0, 0}}, 0, 0);
static_assert(kZero.word[0] == 0x6627e8d5u && kZero.word[1] == 0xe169c58du &&
              kZero.word[2] == 0xbc57ac4cu && kZero.word[3] == 0x9b00dbd8u);

struct Sample {
  PhiloxBlock block;
  float unit;
};

KILN_HOST_DEVICE Sample sample(std::uint64_t index) {
  // A seed with both halves in use, and indices past 32 bits.
  const PhiloxBlock block =
      kiln::random_block(0x0123456789abcdefull, RandomStream::dropout, 7, index * 0x100000001ull);
  return {block, kiln::unit_float(block.word[3])};
}

__global__ void draw(Sample* samples, int sample_count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < sample_count) samples[i] = sample(static_cast<std::uint64_t>(i));
}

}  // namespace

int main() {
  kiln::test::require_device();
  constexpr int kSampleCount = 10000, kThreadCount = 256;
  Sample* on_device = nullptr;
  KILN_TEST_CUDA(cudaMalloc(&on_device, kSampleCount * sizeof(Sample)));
  draw<<<(kSampleCount + kThreadCount - 1) / kThreadCount, kThreadCount>>>(on_device, kSampleCount);
  KILN_TEST_CUDA(cudaGetLastError());
  std::vector<Sample> drawn(kSampleCount);
  KILN_TEST_CUDA(
      cudaMemcpy(drawn.data(), on_device, kSampleCount * sizeof(Sample), cudaMemcpyDeviceToHost));
  KILN_TEST_CUDA(cudaFree(on_device));
  for (int i = 0; i < kSampleCount; ++i) {
    const Sample expected = sample(static_cast<std::uint64_t>(i));
    if (std::memcmp(&expected, &drawn[i], sizeof expected) != 0) {
      std::fprintf(stderr, "FAILED: sample %d differs between host and device\n", i);
      return 1;
    }
  }
  std::printf("%d blocks equal, bit for bit\n", kSampleCount);
  return 0;
}
