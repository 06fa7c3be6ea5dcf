// One warp a row: the lanes take every 32nd class and trade maxima and sums by shuffles, whose tree
// is fixed.
#pragma once

#include "kernels/cuda/storage.h"

namespace kiln::cuda {

inline constexpr int kWarp = 32, kRowsPerBlock = 4;

// Launches `kernel(rows, args)` with kRowsPerBlock rows a block.
template <class Args>
void launch_rows(Context& c, const char* name, void (*kernel)(std::int64_t, Args),
                 std::int64_t rows, const Args& args) {
  launch<Threads::cooperate>(
      c, name, kernel,
      {.grid_x = blocks_for(rows, kRowsPerBlock), .block_x = kWarp, .block_y = kRowsPerBlock}, rows,
      args);
}

__device__ inline std::int64_t row_of_warp() {
  return std::int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.y;
}

// The largest element of a row, the same in every lane; NaN where there is one.
template <class T>
__device__ Accumulated<T> row_maximum(const T* row, std::int64_t classes) {
  auto largest = -static_cast<Accumulated<T>>(INFINITY);
  for (std::int64_t k = threadIdx.x; k < classes; k += kWarp)
    largest = Maximum{}(largest, widened(row[k]));
  return warp_reduce(largest, Maximum{});
}

}  // namespace kiln::cuda
