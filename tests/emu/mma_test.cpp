// The tensor core's instructions, lane by lane, against plain products in double; and kernels with
// planted faults beside their sound twin.
#include "kernels/cuda/mma.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <vector>

#include "kernels/cuda/storage.h"
#include "tests/emu/device_array.h"

namespace kiln {
namespace {

using cuda::launch;
using cuda::Threads;
using Words = std::vector<std::uint32_t>;

constexpr unsigned kLanes = 32;

// Small whole numbers over 8: exact in f16, bf16 and tf32, and so are their sums in f32.
float element(unsigned seed, unsigned row, unsigned column) {
  const unsigned mixed = (seed * 7919 + row * 137 + column * 31) * 2654435761u;
  return (static_cast<float>(mixed >> 28) - 7.5f) / 8;
}
float element_a(unsigned row, unsigned column) { return element(1, row, column); }
float element_b(unsigned row, unsigned column) { return element(2, row, column); }

template <class T>
std::uint32_t pair(float low, float high) {
  return cuda::stored<T>(low).bits | std::uint32_t{cuda::stored<T>(high).bits} << 16;
}

// 3 + sum over `depth` of A B, exact.
float wanted(unsigned row, unsigned column, unsigned depth) {
  double sum = 3;
  for (unsigned k = 0; k < depth; ++k)
    sum += static_cast<double>(element_a(row, k)) * static_cast<double>(element_b(k, column));
  return static_cast<float>(sum);
}

void expect_product(const std::vector<float>& sums, unsigned depth) {
  for (unsigned lane = 0; lane < kLanes; ++lane)
    for (unsigned i = 0; i < 4; ++i)
      EXPECT_EQ(sums[lane * 4 + i], wanted(lane / 4 + 8 * (i / 2), lane % 4 * 2 + i % 2, depth))
          << "lane " << lane << ", element " << i;
}

struct Mma : testing::Test {
  Log log{stderr, LogLevel::quiet};
  ThreadPool pool{1};
  Context context{Device{}, pool, log};
};

// A fault gives lanes 3 and 4 each other's first register of A.
template <class T, bool swapped>
__global__ void one_mma(const std::uint32_t* a, const std::uint32_t* b, float* sums) {
  const unsigned lane = threadIdx.x;
  std::uint32_t own_a[4], own_b[2];
  float sum[4] = {3, 3, 3, 3};
  for (unsigned i = 0; i < 4; ++i) own_a[i] = a[lane * 4 + i];
  for (unsigned i = 0; i < 2; ++i) own_b[i] = b[lane * 2 + i];
  if (swapped) {
    const unsigned other = lane == 3 ? 4u : lane == 4 ? 3u : lane;
    own_a[0] = __shfl_sync(0xffffffffu, own_a[0], static_cast<int>(other));
  }
  if constexpr (std::is_same_v<T, float>)
    cuda::mma_m16n8k8_tf32(sum, own_a, own_b);
  else
    cuda::mma_m16n8k16<T>(sum, own_a, own_b);
  for (unsigned i = 0; i < 4; ++i) sums[lane * 4 + i] = sum[i];
}

template <class T>
struct Fragments {
  Fragments() {
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      const unsigned g = lane / 4, t = lane % 4;
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = g + 8 * (i % 2), column = 2 * t + 8 * (i / 2);
        a.push_back(pair<T>(element_a(row, column), element_a(row, column + 1)));
      }
      for (unsigned i = 0; i < 2; ++i) {
        const unsigned row = 2 * t + 8 * i;
        b.push_back(pair<T>(element_b(row, g), element_b(row + 1, g)));
      }
    }
  }
  Words a, b;
};

template <>
struct Fragments<float> {
  Fragments() {
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      const unsigned g = lane / 4, t = lane % 4;
      for (unsigned i = 0; i < 4; ++i)
        a.push_back(std::bit_cast<std::uint32_t>(element_a(g + 8 * (i % 2), t + 4 * (i / 2))));
      for (unsigned i = 0; i < 2; ++i)
        b.push_back(std::bit_cast<std::uint32_t>(element_b(t + 4 * i, g)));
    }
  }
  Words a, b;
};

template <class T, bool swapped = false>
std::vector<float> run_one_mma(Context& context, const Fragments<T>& fragments) {
  const DeviceArray<std::uint32_t> a(fragments.a), b(fragments.b);
  const DeviceArray<float> sums(std::vector<float>(4 * kLanes, NAN));
  launch<Threads::cooperate>(context, "one_mma", one_mma<T, swapped>, {.block_x = kLanes}, a.data(),
                             b.data(), sums.data());
  return sums.fetch();
}

TEST_F(Mma, EveryLaneHoldsItsElementsOfTheProduct) {
  expect_product(run_one_mma<Float16>(context, {}), 16);
  expect_product(run_one_mma<BFloat16>(context, {}), 16);
  expect_product(run_one_mma<float>(context, {}), 8);
}

TEST_F(Mma, Tf32DropsTheLowBits) {
  Fragments<float> clean, noisy;
  for (std::uint32_t& word : noisy.a) word |= 0x1FFFu;
  EXPECT_EQ(run_one_mma<float>(context, noisy), run_one_mma<float>(context, clean));
}

TEST_F(Mma, FragmentsOfSwappedLanesAreSeen) {
  const std::vector<float> sums = run_one_mma<Float16, true>(context, {});
  // Lane 3 holds row 0, lane 4 row 1; all other rows are right.
  bool row_0 = true, row_1 = true;
  for (unsigned lane = 0; lane < kLanes; ++lane)
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = lane / 4 + 8 * (i / 2);
      const bool right = sums[lane * 4 + i] == wanted(row, lane % 4 * 2 + i % 2, 16);
      if (row == 0)
        row_0 = row_0 && right;
      else if (row == 1)
        row_1 = row_1 && right;
      else
        EXPECT_TRUE(right) << "row " << row;
    }
  EXPECT_FALSE(row_0);
  EXPECT_FALSE(row_1);
}

template <bool transposed>
__global__ void one_ldmatrix(const std::uint16_t* from, std::uint32_t* to) {
  alignas(16) __shared__ std::uint16_t tile[32 * 8];
  for (unsigned i = 0; i < 8; ++i) tile[threadIdx.x * 8 + i] = from[threadIdx.x * 8 + i];
  __syncwarp();
  std::uint32_t words[4];
  cuda::ldmatrix_x4<transposed>(words, tile + threadIdx.x * 8);
  tile[threadIdx.x * 8] = 0xFFFF;  // after the load: no lane may see it
  for (unsigned i = 0; i < 4; ++i) to[threadIdx.x * 4 + i] = words[i];
}

TEST_F(Mma, LdmatrixDealsOutFourMatrices) {
  std::vector<std::uint16_t> numbers(32 * 8);
  for (unsigned i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::uint16_t>(i);
  const DeviceArray<std::uint16_t> from(numbers);
  for (const bool transposed : {false, true}) {
    const DeviceArray<std::uint32_t> to(Words(4 * kLanes, 0));
    launch<Threads::cooperate>(context, "one_ldmatrix",
                               transposed ? one_ldmatrix<true> : one_ldmatrix<false>,
                               {.block_x = kLanes}, from.data(), to.data());
    const Words got = to.fetch();
    for (unsigned lane = 0; lane < kLanes; ++lane)
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned g = lane / 4, t = lane % 4, matrix = 64 * i;
        const unsigned low = matrix + (transposed ? 2 * t * 8 + g : g * 8 + 2 * t);
        const unsigned high = low + (transposed ? 8 : 1);
        EXPECT_EQ(got[lane * 4 + i], low | high << 16) << lane << ", " << i;
      }
  }
}

// Three groups in flight, waited for with `pending`; what a thread sees of its own copies.
template <int pending>
__global__ void three_copies(const float* x, float* y) {
  alignas(16) __shared__ float tile[3][32][4];
  const unsigned i = threadIdx.x;
  for (unsigned group = 0; group < 3; ++group) {
    cuda::cp_async_16(tile[group][i], x + (group * 32 + i) * 4, i != 5);
    cuda::cp_async_commit();
  }
  cuda::cp_async_wait<pending>();
  for (unsigned group = 0; group < 3; ++group)
    for (unsigned j = 0; j < 4; ++j) y[(group * 32 + i) * 4 + j] = tile[group][i][j];
  cuda::cp_async_wait<0>();
}

TEST_F(Mma, CopiesArriveGroupByGroupAtTheWait) {
  std::vector<float> numbers(3 * 32 * 4);
  for (unsigned i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i + 1);
  const DeviceArray<float> x(numbers);
  for (const unsigned pending : {0u, 1u, 2u}) {
    const DeviceArray<float> y(std::vector<float>(numbers.size(), 0.0f));
    launch<Threads::cooperate>(context, "three_copies",
                               pending == 0   ? three_copies<0>
                               : pending == 1 ? three_copies<1>
                                              : three_copies<2>,
                               {.block_x = kLanes}, x.data(), y.data());
    const std::vector<float> got = y.fetch();
    for (unsigned i = 0; i < numbers.size(); ++i)
      if (i / 128 >= 3 - pending)
        EXPECT_TRUE(std::isnan(got[i])) << "element " << i << " came before its wait";
      else
        EXPECT_EQ(got[i], i / 4 % 32 == 5 ? 0.0f : numbers[i]) << "element " << i;
  }
}

enum class Fault { none, no_wait, no_barrier_before_reading, no_barrier_before_reuse };

// Two warps multiply 16x16 by 16x8 several times through one shared tile, each warp having copied
// part of it: what a pipeline does, in small. Step s takes A scaled by 2^s.
template <Fault fault>
__global__ void multiply_tiles(const BFloat16* a, const BFloat16* b, float* sums, unsigned count) {
  alignas(16) __shared__ BFloat16 tile[48][8];  // 16 rows of A, 8 columns of B, 2 chunks each
  const unsigned i = threadIdx.x, lane = i % 32;
  float sum[4] = {3, 3, 3, 3};
  for (unsigned step = 0; step < count; ++step) {
    if (i < 48)
      cuda::cp_async_16(tile[i], i < 32 ? a + (step * 32 + i) * 8 : b + (i - 32) * 8, true);
    cuda::cp_async_commit();
    if (fault != Fault::no_wait) cuda::cp_async_wait<0>();
    if (fault != Fault::no_barrier_before_reading) __syncthreads();
    std::uint32_t own_a[4], own_b[4];
    const unsigned row = lane % 8 + lane / 8 % 2 * 8, half = lane / 16;
    cuda::ldmatrix_x4<false>(own_a, tile[2 * row + half]);
    cuda::ldmatrix_x4<false>(own_b, tile[32 + 2 * (lane % 8) + lane / 8 % 2]);
    const std::uint32_t first_b[2] = {own_b[0], own_b[1]};
    cuda::mma_m16n8k16<BFloat16>(sum, own_a, first_b);
    if (fault != Fault::no_barrier_before_reuse) __syncthreads();
  }
  for (unsigned j = 0; j < 4; ++j) sums[i * 4 + j] = sum[j];
}

template <Fault fault>
std::vector<float> run_tiles(Context& context) {
  std::vector<BFloat16> left, right;
  for (unsigned i = 0; i < 3 * 256; ++i)
    left.push_back(to_bfloat16(static_cast<float>(1u << i / 256) * element_a(i / 16 % 16, i % 16)));
  for (unsigned i = 0; i < 128; ++i) right.push_back(to_bfloat16(element_b(i % 16, i / 16)));
  const DeviceArray<BFloat16> a(left), b(right);
  const DeviceArray<float> sums(std::vector<float>(256, 0.0f));
  launch<Threads::cooperate>(context, "multiply_tiles", multiply_tiles<fault>, {.block_x = 64},
                             a.data(), b.data(), sums.data(), 3u);
  return sums.fetch();
}

bool all_right(const std::vector<float>& sums) {
  for (unsigned i = 0; i < sums.size(); ++i) {
    const unsigned lane = i / 4 % 32, row = lane / 4 + 8 * (i % 4 / 2),
                   column = lane % 4 * 2 + i % 2;
    const float one = wanted(row, column, 16) - 3;
    if (sums[i] != 3 + 7 * one) return false;
  }
  return true;
}

TEST_F(Mma, AMissingWaitOrBarrierIsSeen) {
  EXPECT_TRUE(all_right(run_tiles<Fault::none>(context)));
  EXPECT_FALSE(all_right(run_tiles<Fault::no_wait>(context)));
  EXPECT_FALSE(all_right(run_tiles<Fault::no_barrier_before_reading>(context)));
  EXPECT_FALSE(all_right(run_tiles<Fault::no_barrier_before_reuse>(context)));
}

__global__ void mma_of_some() {
  std::uint32_t a[4] = {}, b[2] = {};
  float sum[4] = {};
  if (threadIdx.x < 20) cuda::mma_m16n8k16<Float16>(sum, a, b);
}

__global__ void misaligned_ldmatrix() {
  alignas(16) __shared__ std::uint16_t tile[33 * 8];
  std::uint32_t words[4];
  cuda::ldmatrix_x4<false>(words, tile + threadIdx.x * 8 + 1);
}

TEST_F(Mma, AMisalignedRowIsAnError) {
  EXPECT_THROW(launch<Threads::cooperate>(context, "misaligned_ldmatrix", misaligned_ldmatrix,
                                          {.block_x = kLanes}),
               std::logic_error);
}

TEST_F(Mma, AnIncompleteWarpIsAnError) {
  EXPECT_THROW(launch<Threads::cooperate>(context, "mma_of_some", mma_of_some, {.block_x = kLanes}),
               std::logic_error);
  EXPECT_THROW(launch<Threads::independent>(context, "alone", mma_of_some, {.block_x = kLanes}),
               std::logic_error);
}

}  // namespace
}  // namespace kiln
