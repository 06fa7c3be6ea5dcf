// Sums over the rows of [rows, C] for every channel, in two kernels of fixed order:
//
//   1  the rows are cut into parts; a block takes 32 channels of one part, its 8 rows of threads
//      take every eighth row, and their sums are added through shared memory
//   2  one thread a channel adds the parts in the order of their numbers
//
// Sums are in double: 2 or 3 operations for 4 to 12 bytes read. By the datasheets' rates that is
// about the memory's time on GPUs with one double unit in 64, and far below it on data-centre ones;
// not yet measured on a GPU.
#pragma once

#include "kernels/cuda/gpu.h"

namespace kiln::cuda {

inline constexpr int kChannelLanes = 32, kRowLanes = 8;

struct SumPair {
  double first = 0, second = 0;
};

// partial[part, channel] = sum of value(row, channel) over the part's rows. Value is a struct with
// `__device__ SumPair operator()(std::int64_t row, std::int64_t channel) const`.
template <class Value>
__global__ void channel_partials(std::int64_t rows, std::int64_t channels, int parts, Value value,
                                 SumPair* partial) {
  __shared__ SumPair tile[kRowLanes][kChannelLanes];
  const std::int64_t channel = std::int64_t{blockIdx.x} * kChannelLanes + threadIdx.x;
  const std::int64_t part = blockIdx.y;
  const std::int64_t begin = part * rows / parts, end = (part + 1) * rows / parts;
  SumPair sum;
  if (channel < channels)
    for (std::int64_t row = begin + threadIdx.y; row < end; row += kRowLanes) {
      const SumPair v = value(row, channel);
      sum.first += v.first;
      sum.second += v.second;
    }
  tile[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || channel >= channels) return;
  for (int i = 1; i < kRowLanes; ++i) {
    sum.first += tile[i][threadIdx.x].first;
    sum.second += tile[i][threadIdx.x].second;
  }
  partial[part * channels + channel] = sum;
}

// The sum over the parts of one channel.
__device__ inline SumPair add_parts(const SumPair* partial, int parts, std::int64_t channels,
                                    std::int64_t channel) {
  SumPair sum;
  for (int part = 0; part < parts; ++part) {
    sum.first += partial[part * channels + channel].first;
    sum.second += partial[part * channels + channel].second;
  }
  return sum;
}

template <class Value>
void sum_channels(Context& c, const char* name, std::int64_t rows, std::int64_t channels, int parts,
                  const Value& value, SumPair* partial) {
  launch<Threads::cooperate>(c, name, channel_partials<Value>,
                             {.grid_x = blocks_for(channels, kChannelLanes),
                              .grid_y = static_cast<unsigned>(parts),
                              .block_x = kChannelLanes,
                              .block_y = kRowLanes},
                             rows, channels, parts, value, partial);
}

}  // namespace kiln::cuda
