// Sums over the rows of [rows, C] for every channel, and maps whose numbers depend on the channel.
//
// A thread keeps a pack of neighbouring channels (16 bytes of T where C and the pointers allow it,
// else one channel) and walks down the rows, so what belongs to a channel is loaded once and no
// index is divided. A block is lanes x rows of 256 threads: as many lanes as a row has packs, at
// most 32, so that few channels leave no thread idle.
//
// Sums go in three steps of fixed order:
//
//   1  the rows are cut into parts; a block takes its channels of one part, each of its rows of
//      threads takes every blockDim.y-th row
//   2  the block's sums of a channel are added through shared memory, in the order of the threads
//   3  one warp a channel: the lanes take every 32nd part and are added in a fixed tree
//
// Sums are in double: 2 or 3 operations and a conversion or two for 4 to 12 bytes read. By the
// datasheets' rates that is about the memory's time on GPUs with one double unit in 64, and far
// below it on data-centre ones; not yet run on a GPU. Maps compute in Accumulated<T>.
#pragma once

#include "kernels/common/activation_math.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/gelu_math.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/softmax_row.h"

namespace kiln::cuda {

struct SumPair {
  double first = 0, second = 0;
};

// What a map knows of a channel: scale and shift of a line.
template <class A>
struct Line {
  A scale, shift;
};

// act((x - mean) scale + shift), channel by channel, rounded once.
template <class T, int count, class A>
__device__ Pack<T, count> normalised(Pack<T, count> x, const A (&mean)[count],
                                     const Line<A> (&line)[count], Activation activation) {
  for (int k = 0; k < count; ++k) {
    const A centred = widened(x.at[k]) - mean[k];
    const A value = centred * line[k].scale + line[k].shift;
    x.at[k] = stored<T>(activation == Activation::gelu ? gelu_value<T>(value)
                                                       : activated(value, activation));
  }
  return x;
}

__device__ inline std::int64_t first_channel(int count) {
  return (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * count;
}

// partial[part, channel]. Value is a struct with `template <int count> Own<count> own(channel)` and
// `template <int count> void add(own, first element, SumPair (&)[count])`, all on the device.
template <int count, class Value>
__global__ void channel_partials(std::int64_t rows, std::int64_t channels, Value value,
                                 SumPair* partial) {
  __shared__ SumPair tile[kBlock];
  const std::int64_t channel = first_channel(count), part = blockIdx.y;
  const std::int64_t begin = part * rows / gridDim.y, end = (part + 1) * rows / gridDim.y;
  SumPair sum[count] = {};
  if (channel < channels) {
    const auto own = value.template own<count>(channel);
    for (std::int64_t row = begin + threadIdx.y; row < end; row += blockDim.y)
      value.template add<count>(own, row * channels + channel, sum);
  }
  for (int k = 0; k < count; ++k) {
    tile[threadIdx.y * blockDim.x + threadIdx.x] = sum[k];
    __syncthreads();
    if (threadIdx.y == 0 && channel < channels) {
      SumPair all = tile[threadIdx.x];
      for (unsigned i = 1; i < blockDim.y; ++i) {
        all.first += tile[i * blockDim.x + threadIdx.x].first;
        all.second += tile[i * blockDim.x + threadIdx.x].second;
      }
      partial[part * channels + channel + k] = all;
    }
    __syncthreads();
  }
}

// The sum over the parts of one channel, handed to `finish(channel, sum)`.
template <class Finish>
struct Parts {
  const SumPair* partial;
  int parts;
  Finish finish;
};
template <class Finish>
__global__ void finish_channel_per_warp(std::int64_t channels, Parts<Finish> a) {
  const std::int64_t channel = row_of_warp();
  if (channel >= channels) return;
  SumPair sum;
  for (int part = static_cast<int>(threadIdx.x); part < a.parts; part += kWarp) {
    const SumPair v = a.partial[part * channels + channel];
    sum.first += v.first;
    sum.second += v.second;
  }
  sum.first = warp_reduce(sum.first, Sum{});
  sum.second = warp_reduce(sum.second, Sum{});
  if (threadIdx.x == 0) a.finish(channel, sum);
}

// Body is a struct with `own` as above and `template <int count> void map(own, first element)`.
template <int count, class Body>
__global__ void map_rows_kernel(std::int64_t rows, std::int64_t channels, Body body) {
  const std::int64_t channel = first_channel(count);
  if (channel >= channels) return;
  const auto own = body.template own<count>(channel);
  const std::int64_t step = std::int64_t{gridDim.y} * blockDim.y;
  for (std::int64_t row = std::int64_t{blockIdx.y} * blockDim.y + threadIdx.y; row < rows;
       row += step)
    body.template map<count>(own, row * channels + channel);
}

// The blocks of the above for [rows, channels] seen in packs of `count`.
inline Extent row_blocks(std::int64_t channels, int count, unsigned grid_y) {
  constexpr std::int64_t kMostLanes = 32;
  const auto lanes = static_cast<unsigned>(std::min(channels / count, kMostLanes));
  return {.grid_x = blocks_for(channels / count, lanes),
          .grid_y = grid_y,
          .block_x = lanes,
          .block_y = kBlock / lanes};
}

// Queues steps 1 to 3. `pointers` are what Value reads; null ones fit any pack.
template <class T, class Value, class Finish, class... P>
void sum_channels(Context& c, const char* name, const Shape& shape, const Value& value,
                  SumPair* partial, const Finish& finish, const P*... pointers) {
  const std::int64_t channels = shape[-1], rows = shape.element_count() / channels;
  const int parts = c.reduction_parts(rows);
  with_channel_pack<T>(
      channels,
      [&](auto count) {
        launch<Threads::cooperate>(c, name, channel_partials<count(), Value>,
                                   row_blocks(channels, count(), static_cast<unsigned>(parts)),
                                   rows, channels, value, partial);
      },
      pointers...);
  launch_rows(c, name, finish_channel_per_warp<Finish>, channels,
              Parts<Finish>{partial, parts, finish});
}

// Queues a map over [rows, C]; `pointers` are what Body reads and writes.
template <class T, class Body, class... P>
void map_rows(Context& c, const char* name, const Shape& shape, const Body& body,
              const P*... pointers) {
  const std::int64_t channels = shape[-1], rows = shape.element_count() / channels;
  constexpr std::int64_t kRowsPerThread = 4;
  with_channel_pack<T>(
      channels,
      [&](auto count) {
        Extent extent = row_blocks(channels, count(), 1);
        extent.grid_y = std::min(blocks_for(rows, extent.block_y * kRowsPerThread), 65535u);
        launch<Threads::independent>(c, name, map_rows_kernel<count(), Body>, extent, rows,
                                     channels, body);
      },
      pointers...);
}

}  // namespace kiln::cuda
