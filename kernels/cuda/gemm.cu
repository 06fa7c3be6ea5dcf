#include "kernels/common/activation_math.h"
#include "kernels/cuda/gemm.h"

namespace kiln::cuda {
namespace {

constexpr int kTile = 16;

template <class T>
__global__ void gemm_tile_16(Gemm<T> g) {
  using A = Accumulated<T>;
  __shared__ A a_tile[kTile][kTile + 1];  // one more column: no two rows of a bank
  __shared__ A b_tile[kTile][kTile + 1];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const std::int64_t row = std::int64_t{blockIdx.y} * kTile + y;
  const std::int64_t column = std::int64_t{blockIdx.x} * kTile + x;
  A sum = g.start != nullptr && column < g.n ? widened(g.start[column]) : A(0);
  for (std::int64_t k = 0; k < g.k; k += kTile) {
    const bool in_a = row < g.m && k + x < g.k, in_b = k + y < g.k && column < g.n;
    a_tile[y][x] = in_a ? widened(g.a[row * g.a_m + (k + x) * g.a_k]) : A(0);
    b_tile[y][x] = in_b ? widened(g.b[(k + y) * g.b_k + column * g.b_n]) : A(0);
    __syncthreads();
    for (int i = 0; i < kTile && k + i < g.k; ++i) sum += a_tile[y][i] * b_tile[i][x];
    __syncthreads();
  }
  if (row >= g.m || column >= g.n) return;
  T* c = g.c + row * g.n + column;
  *c = stored<T>(activated(g.add ? widened(*c) + sum : sum, g.activation));
}

}  // namespace

template <class T>
void gemm(Context& c, const char* name, const Gemm<T>& job) {
  launch<Threads::cooperate>(c, name, gemm_tile_16<T>,
                             {.grid_x = blocks_for(job.n, kTile),
                              .grid_y = blocks_for(job.m, kTile),
                              .block_x = kTile,
                              .block_y = kTile},
                             job);
}

template void gemm<float>(Context&, const char*, const Gemm<float>&);
template void gemm<double>(Context&, const char*, const Gemm<double>&);
template void gemm<Float16>(Context&, const char*, const Gemm<Float16>&);
template void gemm<BFloat16>(Context&, const char*, const Gemm<BFloat16>&);

}  // namespace kiln::cuda
