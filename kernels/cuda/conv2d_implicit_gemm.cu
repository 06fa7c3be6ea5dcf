// conv2d as an implicit matrix product on tensor cores (implicit_gemm.h): y [N P Q, K] is the
// patches of x [N P Q, R S C] times the filters [R S C, K]. Bias and relu are applied in f32 to the
// sums, which are rounded once.
#include "kernels/common/activation_math.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/implicit_gemm_launch.h"
#include "kernels/include/conv2d.h"

namespace kiln::cuda {
namespace {

template <class T>
struct ForwardOutput {
  T* y;
  const T* bias;  // may be null
  std::uint32_t rows, columns;
  Activation activation;
  bool vector;

  __device__ void store(std::uint32_t row, std::uint32_t column, const float* sums) const {
    if (row >= rows || column >= columns) return;
    T* to = y + std::size_t{row} * columns + column;
    if (vector) {
      Chunk<T> chunk;
      KILN_UNROLL
      for (std::uint32_t i = 0; i < kChunk; ++i) chunk.element[i] = finished(column + i, sums[i]);
      *reinterpret_cast<Chunk<T>*>(to) = chunk;
      return;
    }
    for (std::uint32_t i = 0; i < kChunk && column + i < columns; ++i)
      to[i] = finished(column + i, sums[i]);
  }
  __device__ T finished(std::uint32_t column, float sum) const {
    if (bias != nullptr) sum += widened(bias[column]);
    return stored<T>(activated(sum, activation));
  }
};

template <class T>
void run(Context& c, const Conv2dArgs& a) {
  const Conv2dShape& s = a.shape;
  const ImplicitGemmPlan plan = plan_forward_gemm(s);
  const Lines<T, true> filters{a.w.data<T>(), static_cast<std::uint32_t>(s.k),
                               static_cast<std::uint32_t>(plan.depth)};
  const ForwardOutput<T> output{a.y.data<T>(),
                                optional_data<T>(a.bias),
                                static_cast<std::uint32_t>(plan.rows),
                                static_cast<std::uint32_t>(plan.columns),
                                a.activation,
                                plan.vector};
  launch_implicit_gemm<T, true>(c, "conv2d", plan, Patches<T, true>(a.x.data<T>(), s), filters,
                                output);
}

}  // namespace

void conv2d_implicit_gemm(Context& c, const Conv2dArgs& a) {
  a.x.dtype() == DType::f16 ? run<Float16>(c, a) : run<BFloat16>(c, a);
}

}  // namespace kiln::cuda
