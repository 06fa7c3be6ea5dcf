// conv2d_grad as implicit matrix products on tensor cores (implicit_gemm.h):
//
//   dx [N H W, C]   = dy at the pixels whose windows read (n, h, w) [N H W, R S K] w [R S K, C]
//   dw [K, R S C]   = dy^T [K, N P Q] the patches of x [N P Q, R S C]
//   dbias [K]       = the column sums of dy
//
// Order     dx: as implicit_gemm.h says. dw and dbias: f32 partial sums over ranges of pixels that
//           the shape alone fixes, added in rising order and rounded once. A stride of 2 multiplies
//           zeros at three of four taps of dx: no pixel is special.
//
// Not yet run on a GPU.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/implicit_gemm_launch.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
__device__ inline T written(T old, float value, bool add) {
  return stored<T>(add ? widened(old) + value : value);
}

template <class T>
struct InputGradientOutput {
  T* dx;
  std::uint32_t rows, columns;
  bool add, vector;

  __device__ void store(std::uint32_t row, std::uint32_t column, const float* sums) const {
    if (row >= rows || column >= columns) return;
    T* to = dx + std::size_t{row} * columns + column;
    if (vector) {
      auto* whole = reinterpret_cast<Chunk<T>*>(to);
      Chunk<T> chunk{};
      if (add) chunk = *whole;
      KILN_UNROLL
      for (int i = 0; i < kChunk; ++i) chunk.element[i] = written(chunk.element[i], sums[i], add);
      *whole = chunk;
      return;
    }
    for (std::uint32_t i = 0; i < kChunk && column + i < columns; ++i)
      to[i] = written(add ? to[i] : T{}, sums[i], add);
  }
};

// Partial sums [splits, rows, columns]; the block's z is its split.
struct PartialOutput {
  float* parts;
  std::uint32_t rows, columns;
  bool vector;

  __device__ void store(std::uint32_t row, std::uint32_t column, const float* sums) const {
    if (row >= rows || column >= columns) return;
    float* to = parts + (std::size_t{blockIdx.z} * rows + row) * columns + column;
    if (vector) {
      Chunk<float> chunk;
      KILN_UNROLL
      for (int i = 0; i < kChunk; ++i) chunk.element[i] = sums[i];
      *reinterpret_cast<Chunk<float>*>(to) = chunk;
      return;
    }
    for (std::uint32_t i = 0; i < kChunk && column + i < columns; ++i) to[i] = sums[i];
  }
};

// to[i] = the sum over the parts of parts[part, i], added in order.
template <class Out>
struct SumOfParts {
  const float* parts;
  Out* to;
  std::int64_t part_count, count;
  bool add;

  __device__ void operator()(std::int64_t i) const {
    float sum = 0;
    for (std::int64_t part = 0; part < part_count; ++part) sum += parts[part * count + i];
    to[i] = written(add ? to[i] : Out{}, sum, add);
  }
};

constexpr int kBiasLines = 8;

// parts [gridDim.y, channels]: block (x, y) sums 32 channels over part y of the pixels.
template <class T>
__global__ void bias_gradient_parts(const T* dy, float* parts, std::int64_t pixels,
                                    std::int64_t channels) {
  __shared__ float sums[kBiasLines][32];
  const std::int64_t channel = std::int64_t{blockIdx.x} * 32 + threadIdx.x;
  const std::int64_t part = (pixels + gridDim.y - 1) / gridDim.y;
  const std::int64_t begin = part * blockIdx.y;
  const std::int64_t end = begin + part < pixels ? begin + part : pixels;
  float sum = 0;
  if (channel < channels)
    for (std::int64_t i = begin + threadIdx.y; i < end; i += kBiasLines)
      sum += widened(dy[i * channels + channel]);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || channel >= channels) return;
  for (int line = 1; line < kBiasLines; ++line) sum += sums[line][threadIdx.x];
  parts[blockIdx.y * channels + channel] = sum;
}

void sum_parts(Context& c, const float* parts, const Tensor& to, std::int64_t part_count,
               bool add) {
  const std::int64_t count = to.element_count();
  const auto run = [&](auto zero) {
    using Out = decltype(zero);
    map(c, "conv2d_grad", count, SumOfParts<Out>{parts, to.data<Out>(), part_count, count, add});
  };
  if (to.dtype() == DType::f32) return run(float{});
  to.dtype() == DType::f16 ? run(Float16{}) : run(BFloat16{});
}

template <class T>
void input_gradient(Context& c, const Conv2dGradArgs& a) {
  const ImplicitGemmPlan plan = plan_dx_gemm(a.shape);
  const InputGradientOutput<T> output{a.dx.data<T>(), static_cast<std::uint32_t>(plan.rows),
                                      static_cast<std::uint32_t>(plan.columns),
                                      a.mode == GradWrite::accumulate, plan.vector};
  launch_implicit_gemm<T, true>(c, "conv2d_grad", plan, ReversedPatches<T>(a.dy.data<T>(), a.shape),
                                FiltersByTap<T>(a.w.data<T>(), a.shape), output);
}

template <class T>
void filter_gradient(Context& c, const Conv2dGradArgs& a) {
  const ImplicitGemmPlan plan = plan_dw_gemm(a.shape);
  auto* parts = reinterpret_cast<float*>(a.scratch);
  const Lines<T, false> dy{a.dy.data<T>(), static_cast<std::uint32_t>(plan.depth),
                           static_cast<std::uint32_t>(a.shape.k)};
  const PartialOutput output{parts, static_cast<std::uint32_t>(plan.rows),
                             static_cast<std::uint32_t>(plan.columns), plan.vector};
  launch_implicit_gemm<T, false>(c, "conv2d_grad", plan, dy,
                                 Patches<T, false>(a.x.data<T>(), a.shape), output);
  sum_parts(c, parts, a.dw, plan.splits, a.accumulate_parameters);
}

template <class T>
void bias_gradient(Context& c, const Conv2dGradArgs& a) {
  const ImplicitGemmPlan dw = plan_dw_gemm(a.shape);
  const std::int64_t part_count = dbias_parts(a.shape);
  float* parts = reinterpret_cast<float*>(a.scratch) + dw.splits * dw.rows * dw.columns;
  launch<Threads::cooperate>(c, "conv2d_grad", bias_gradient_parts<T>,
                             {.grid_x = blocks_for(a.shape.k, 32),
                              .grid_y = static_cast<unsigned>(part_count),
                              .block_x = 32,
                              .block_y = kBiasLines},
                             a.dy.data<T>(), parts, dw.depth, a.shape.k);
  sum_parts(c, parts, a.dbias, part_count, a.accumulate_parameters);
}

template <class T>
void run(Context& c, const Conv2dGradArgs& a) {
  if (a.wants_dx()) input_gradient<T>(c, a);
  filter_gradient<T>(c, a);
  if (!a.dbias.empty()) bias_gradient<T>(c, a);
}

}  // namespace

void conv2d_implicit_gemm_grad(Context& c, const Conv2dGradArgs& a) {
  a.x.dtype() == DType::f16 ? run<Float16>(c, a) : run<BFloat16>(c, a);
}

}  // namespace kiln::cuda
