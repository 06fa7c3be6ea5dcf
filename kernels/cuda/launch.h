// The only way to start a kernel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/core/context.h"
#include "kernels/cuda/runtime.h"

namespace kiln::cuda {

// Whether the threads of a block meet at barriers or trade registers. Only the emulator asks.
enum class Threads { independent, cooperate };

struct Extent {
  unsigned grid_x = 1, grid_y = 1, grid_z = 1;
  unsigned block_x = 1, block_y = 1;
};

// Queues `kernel` on the context's stream. `name` is the op's, for errors.
template <Threads threads, class... Parameters, class... Arguments>
void launch(Context& c, const char* name, void (*kernel)(Parameters...), const Extent& e,
            const Arguments&... arguments) {
  if (e.grid_x == 0 || e.grid_y == 0 || e.grid_z == 0) return;
#if defined(__CUDACC__)
  kernel<<<dim3(e.grid_x, e.grid_y, e.grid_z), dim3(e.block_x, e.block_y), 0,
           reinterpret_cast<cudaStream_t>(c.stream().native_handle())>>>(
      static_cast<Parameters>(arguments)...);
  check_launch(name);
#else
  const std::tuple<Parameters...> values{static_cast<Parameters>(arguments)...};
  run_or_capture([=] {
    const auto call = [&] { std::apply(kernel, values); };
    emu::run_launch({.name = name,
                     .grid = {e.grid_x, e.grid_y, e.grid_z},
                     .block = {e.block_x, e.block_y, 1},
                     .cooperative = threads == Threads::cooperate,
                     .run = [](const void* data) { (*static_cast<decltype(call)*>(data))(); },
                     .arguments = &call});
  });
  static_cast<void>(c);
#endif
}

inline constexpr int kBlock = 256;

// Blocks that cover `count` items with `per_block` each, at most 2^31 - 1.
inline unsigned blocks_for(std::int64_t count, std::int64_t per_block) {
  return static_cast<unsigned>(
      std::min<std::int64_t>((count + per_block - 1) / per_block, 0x7fffffff));
}

// body(i) for i in [0, count), one thread each, in any order: the map kernel. Body is a struct with
// `__device__ void operator()(std::int64_t) const`, copied to the device.
template <class Body>
__global__ void map_kernel(std::int64_t count, Body body) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    body(i);
}

template <class Body>
void map(Context& c, const char* name, std::int64_t count, const Body& body) {
  // Enough blocks to fill any device several times over; the loop in the kernel does the rest.
  const unsigned blocks = std::min(blocks_for(count, kBlock), 1u << 16);
  launch<Threads::independent>(c, name, map_kernel<Body>, {.grid_x = blocks, .block_x = kBlock},
                               count, body);
}

// Sum (or maximum) of `value` over the 32 lanes, the same bits in every lane.
template <class T, class Combine>
__device__ inline T warp_reduce(T value, const Combine& combine) {
  for (int mask = 16; mask > 0; mask /= 2)
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, mask));
  return value;
}

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN wins.
struct Maximum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

}  // namespace kiln::cuda
