// Kernels with planted faults, each beside its sound twin: the twin passes and the fault is seen.
#include <gtest/gtest.h>
#include <numeric>
#include <vector>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/launch.h"
#include "tests/emu/device_array.h"

namespace kiln {
namespace {

using cuda::launch;
using cuda::Threads;

using DeviceFloats = DeviceArray<float>;

struct Emu : testing::Test {
  Log log{stderr, LogLevel::quiet};
  ThreadPool pool{1};
  Context context{Device{}, pool, log};

  static std::vector<float> numbers(int count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    std::iota(values.begin(), values.end(), 1.0f);
    return values;
  }
};

// The sum of a block's elements by halving, in shared memory. Without the barriers a thread reads
// what its neighbour has not written yet.
template <bool with_barriers>
__global__ void sum_block(const float* x, float* sum) {
  __shared__ float tile[64];
  const unsigned i = threadIdx.x;
  tile[i] = x[i];
  if (with_barriers) __syncthreads();
  for (unsigned half = 32; half > 0; half /= 2) {
    if (i < half) tile[i] += tile[i + half];
    if (with_barriers) __syncthreads();
  }
  if (i == 0) *sum = tile[0];
}

TEST_F(Emu, ARemovedBarrierGivesAWrongSum) {
  const DeviceFloats x(numbers(64)), sound({0}), faulty({0});
  launch<Threads::cooperate>(context, "sum_block", sum_block<true>, {.block_x = 64}, x.data(),
                             sound.data());
  EXPECT_EQ(sound.fetch()[0], 64.0f * 65 / 2);
  launch<Threads::cooperate>(context, "sum_block", sum_block<false>, {.block_x = 64}, x.data(),
                             faulty.data());
  EXPECT_NE(faulty.fetch()[0], 64.0f * 65 / 2);
}

template <bool sound>
__global__ void scale(const float* x, float* y, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (sound ? i < count : i <= count) y[i] = 2 * x[i];
}

TEST_F(Emu, AnOffByOneGuardWritesBesideTheTensor) {
  for (const bool sound : {true, false}) {
    const DeviceFloats x(numbers(41)), y(std::vector<float>(41, -1.0f));
    launch<Threads::independent>(context, "scale", sound ? scale<true> : scale<false>,
                                 {.grid_x = 2, .block_x = 32}, x.data(), y.data(), 40);
    EXPECT_EQ(y.fetch()[39], 80.0f);
    EXPECT_EQ(y.fetch()[40] == -1.0f, sound) << "the element behind the last one";
  }
}

// A transpose of 8 x 5; the fault takes the other extent as the stride.
template <bool sound>
__global__ void transpose(const float* x, float* y) {
  const unsigned row = threadIdx.y, column = threadIdx.x;
  y[column * (sound ? 8 : 5) + row] = x[row * 5 + column];
}

TEST_F(Emu, AWrongStrideMixesElements) {
  for (const bool sound : {true, false}) {
    const DeviceFloats x(numbers(40)), y(std::vector<float>(64, 0.0f));
    launch<Threads::independent>(context, "transpose", sound ? transpose<true> : transpose<false>,
                                 {.block_x = 5, .block_y = 8}, x.data(), y.data());
    bool right = true;
    for (std::size_t i = 0; i < 40; ++i)
      right = right && y.fetch()[i % 5 * 8 + i / 5] == static_cast<float>(i + 1);
    EXPECT_EQ(right, sound);
  }
}

__global__ void barrier_of_some(int threads) {
  if (static_cast<int>(threadIdx.x) < threads) __syncthreads();
}
__global__ void warp_barrier_of_some(int threads) {
  if (static_cast<int>(threadIdx.x) < threads) __syncwarp();
}

// Expects a std::logic_error whose text holds `part`.
template <class F>
void expect_refused(const F& run, const char* part) {
  try {
    run();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::logic_error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST_F(Emu, ThreadsThatDisagreeOnABarrierAreAnError) {
  const auto run = [&](auto kernel, int threads) {
    launch<Threads::cooperate>(context, "some_kernel", kernel, {.block_x = 64}, threads);
  };
  run(barrier_of_some, 64);
  run(warp_barrier_of_some, 64);
  run(warp_barrier_of_some, 32);  // a whole warp
  expect_refused([&] { run(barrier_of_some, 63); }, "some_kernel has a block");
  expect_refused([&] { run(barrier_of_some, 32); }, "some_kernel has a block");
  expect_refused([&] { run(warp_barrier_of_some, 40); }, "some_kernel has a warp");
  run(barrier_of_some, 64);  // the machine is sound afterwards
}

TEST_F(Emu, ABarrierInALaunchWithoutThemIsAnError) {
  expect_refused(
      [&] { launch<Threads::independent>(context, "alone", barrier_of_some, {.block_x = 32}, 32); },
      "alone meets a barrier");
}

__global__ void shuffle(float* y) {
  const auto lane = static_cast<float>(threadIdx.x);
  y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, lane, 5) + 100 * __shfl_sync(0xffffffffu, lane, 7);
}

TEST_F(Emu, LanesTradeRegisters) {
  const DeviceFloats y(std::vector<float>(64, 0.0f));
  launch<Threads::cooperate>(context, "shuffle", shuffle, {.block_x = 64}, y.data());
  const std::vector<float> got = y.fetch();
  for (unsigned i = 0; i < 64; ++i)
    EXPECT_EQ(got[i], static_cast<float>(i ^ 5u) + 100 * static_cast<float>(i / 32 * 32 + 7)) << i;
}

// The host reads device memory: on a GPU that is a crash, so it is one here.
TEST_F(Emu, DeviceMemoryIsClosedToTheHost) {
  const DeviceFloats x(numbers(4));
  EXPECT_EQ(x.fetch()[2], 3.0f);
  EXPECT_DEATH(
      {
        const volatile float value = *x.data();
        static_cast<void>(value);
      },
      "");
}

}  // namespace
}  // namespace kiln
