// muon_step on a GPU: per matrix of R <= C three products an iteration of 2 R R C, 2 R R R and
// 2 R R C operations, on plain cores (kernels/cuda/gemm.h), and some passes over R C numbers.
// Weights, momentum and gradient once through memory are 20 bytes a weight in f32.
#include "kernels/common/muon_scratch.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/mixed_step.h"
#include "kernels/include/muon_step.h"

namespace kiln::cuda {
namespace {

constexpr const char* kName = "muon_step";

template <class T, class G>
struct Matrix {
  T* w;
  const G* grad;
  T* buffer;
  G* copy;                  // or null
  const float* loss_scale;  // or null
  const StepState* state;   // or null
  MuonScratch<T> s;
  std::int64_t rows, columns;
  T momentum, minus_lr;
  bool nesterov;
  int rate;

  __device__ bool taken() const { return step_is_taken(loss_scale, state); }
};

// A warp a row: the momentum, u into X, and the squares of u and of w. A step that is not taken
// leaves X as it is; nobody looks at it then.
template <class T, class G>
__global__ void push_rows(Matrix<T, G> m) {
  const std::int64_t first = std::int64_t{blockIdx.x} * m.columns;
  const T unscale = unscale_of<T>(m.loss_scale);
  T of_u = 0, of_w = 0;
  if (m.taken())
    for (std::int64_t j = threadIdx.x; j < m.columns; j += 32) {
      const T g = static_cast<T>(widened(m.grad[first + j])) * unscale;
      const T b = std::fma(m.momentum, m.buffer[first + j], g);
      const T u = m.nesterov ? std::fma(m.momentum, b, g) : b;
      m.buffer[first + j] = b;
      m.s.x[first + j] = u;
      of_u += u * u;
      of_w += m.w[first + j] * m.w[first + j];
    }
  of_u = warp_reduce(of_u, Sum{});
  of_w = warp_reduce(of_w, Sum{});
  if (threadIdx.x == 0) {
    m.s.sums[blockIdx.x] = of_u;
    m.s.sums[m.rows + blockIdx.x] = of_w;
  }
}

// One warp: the factors of X and of W behind the rows' sums.
template <class T, class G>
__global__ void make_factors(Matrix<T, G> m) {
  T of_u = 0, of_w = 0;
  for (std::int64_t row = threadIdx.x; row < m.rows; row += 32) {
    of_u += m.s.sums[row];
    of_w += m.s.sums[m.rows + row];
  }
  of_u = warp_reduce(of_u, Sum{});
  of_w = warp_reduce(of_w, Sum{});
  if (threadIdx.x == 0) {
    m.s.sums[2 * m.rows] = T(1) / (std::sqrt(of_u) + static_cast<T>(MuonNumbers::kEpsilon));
    m.s.sums[2 * m.rows + 1] = std::sqrt(static_cast<T>(m.rows) / of_w);
  }
}

template <class T, class G>
struct Normalise {
  Matrix<T, G> m;
  __device__ void operator()(std::int64_t i) const {
    if (!m.taken()) return;
    m.s.x[i] *= m.s.sums[2 * m.rows];
    m.w[i] *= m.s.sums[2 * m.rows + 1];
  }
};

// B = a I + b A + c A A, over A [small, small].
template <class T>
struct Polynomial {
  T* gram;
  const T* square;
  std::int64_t small;
  __device__ void operator()(std::int64_t i) const {
    const T b =
        static_cast<T>(MuonNumbers::kB) * gram[i] + static_cast<T>(MuonNumbers::kC) * square[i];
    const bool diagonal = i % (small + 1) == 0;
    gram[i] = diagonal ? static_cast<T>(MuonNumbers::kA) + b : b;
  }
};

template <class T, class G>
struct Descend {
  Matrix<T, G> m;
  __device__ void operator()(std::int64_t i) const {
    if (!m.taken()) return;
    const T minus_rate =
        m.state == nullptr ? m.minus_lr : static_cast<T>(-rate_of(m.state->rates, m.rate));
    m.w[i] = std::fma(minus_rate, m.s.x[i], m.w[i]);
    if constexpr (sizeof(G) == 2)
      if (m.copy != nullptr) m.copy[i] = stored<G>(m.w[i]);
  }
};

template <class T>
void iterate(Context& c, MuonScratch<T>& s, const MuonExtents& e) {
  const std::int64_t small = e.smaller(), columns = e.columns;
  const bool wide = e.rows <= columns;
  gemm<T>(c, kName,
          {.a = s.x,
           .b = s.x,
           .c = s.gram,
           .m = small,
           .n = small,
           .k = wide ? columns : e.rows,
           .a_m = wide ? columns : 1,
           .a_k = wide ? 1 : columns,
           .b_k = wide ? 1 : columns,
           .b_n = wide ? columns : 1});
  gemm<T>(c, kName,
          {.a = s.gram,
           .b = s.gram,
           .c = s.square,
           .m = small,
           .n = small,
           .k = small,
           .a_m = small,
           .a_k = 1,
           .b_k = small,
           .b_n = 1});
  map(c, kName, small * small, Polynomial<T>{s.gram, s.square, small});
  gemm<T>(c, kName,
          {.a = wide ? s.gram : s.x,
           .b = wide ? s.x : s.gram,
           .c = s.other,
           .m = e.rows,
           .n = columns,
           .k = small,
           .a_m = small,
           .a_k = 1,
           .b_k = columns,
           .b_n = 1});
  std::swap(s.x, s.other);
}

template <class T, class G>
void run(Context& c, const MuonStepArgs& a, const MuonMatrix& matrix) {
  const MuonExtents e(matrix.w.shape());
  Matrix<T, G> m{.w = matrix.w.data<T>(),
                 .grad = matrix.grad.data<const G>(),
                 .buffer = matrix.momentum_buffer.data<T>(),
                 .copy = optional_data<G>(matrix.copy),
                 .loss_scale = optional_data<const float>(a.loss_scale),
                 .state = a.state,
                 .s = MuonScratch<T>(a.scratch, e),
                 .rows = e.rows,
                 .columns = e.columns,
                 .momentum = static_cast<T>(a.momentum),
                 .minus_lr = static_cast<T>(-a.lr),
                 .nesterov = a.nesterov,
                 .rate = a.rate};
  launch<Threads::cooperate>(c, kName, push_rows<T, G>,
                             {.grid_x = static_cast<unsigned>(e.rows), .block_x = 32}, m);
  launch<Threads::cooperate>(c, kName, make_factors<T, G>, {.block_x = 32}, m);
  map(c, kName, e.rows * e.columns, Normalise<T, G>{m});
  for (int i = 0; i < a.iterations; ++i) iterate<T>(c, m.s, e);
  map(c, kName, e.rows * e.columns, Descend<T, G>{m});
}

}  // namespace

void muon_step(Context& c, const MuonStepArgs& a) {
  for (const MuonMatrix& matrix : a.matrices)
    visit_step_types(matrix.grad, [&]<class T, class G>(T, G) { run<T, G>(c, a, matrix); });
}

}  // namespace kiln::cuda
