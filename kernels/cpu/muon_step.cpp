#include "kernels/include/muon_step.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/common/mixed_step_check.h"
#include "kernels/common/muon_scratch.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/optimizer_copy.h"
#include "kernels/cpu/transpose.h"

namespace kiln {

std::size_t muon_step_scratch_bytes(std::span<const Shape> shapes, DType dtype) {
  std::int64_t most = 0;
  for (const Shape& shape : shapes)
    most = std::max(most, MuonScratch<float>::elements(MuonExtents(shape)));
  return static_cast<std::size_t>(most) * size_of(dtype);
}

void check(const MuonStepArgs& a) {
  for (const MuonMatrix& m : a.matrices) {
    require_gradient("muon_step", m.w, m.grad, m.copy, a.loss_scale);
    require_alike("muon_step", {"w", m.w}, {{"momentum_buffer", m.momentum_buffer}});
    require(m.w.shape().rank() >= 2, "muon_step", "needs matrices");
    require_no_host_state("muon_step", m.w, a.state);
  }
  require(!a.nesterov || a.momentum > 0, "muon_step", "nesterov needs momentum");
  require(a.iterations >= 0, "muon_step", "needs no or more iterations");
  require(a.matrices.empty() || a.scratch != nullptr, "muon_step", "needs scratch memory");
}

namespace cpu {
namespace {

// c [m, n] = a [m, k] b [k, n], all dense by rows.
template <class T>
struct Product {
  const T *a, *b;
  T* c;
  std::int64_t m, n, k;
};

// Rows [first, first + count). B is read in runs of rows that fit the second level cache.
void product_rows(const Product<float>& p, std::int64_t first, std::int64_t count) {
  const GemmTile& tile = gemm_tile();
  const std::int64_t run = std::max<std::int64_t>(32, 64 * 1024 / p.n);
  for (std::int64_t begin = 0; begin < p.k; begin += run)
    tile.for_each_block(p.n, [&](std::int64_t column, const GemmColumns& block) {
      GemmTileJob t;
      t.a_row = p.k;
      t.b = p.b + begin * p.n + column;
      t.b_step = p.n;
      t.depth = std::min(run, p.k - begin);
      t.c_row = p.n;
      t.add_to_c = begin > 0;
      for_each_row_block(count, block.max_rows, [&](std::int64_t row, std::int64_t rows) {
        t.a = p.a + (first + row) * p.k + begin;
        t.c = p.c + (first + row) * p.n + column;
        tile.run(t, block, rows);
      });
    });
}

void product_rows(const Product<double>& p, std::int64_t first, std::int64_t count) {
  for (std::int64_t i = first; i < first + count; ++i) {
    double* c = p.c + i * p.n;
    std::fill_n(c, p.n, 0.0);
    for (std::int64_t l = 0; l < p.k; ++l)
      for (std::int64_t j = 0; j < p.n; ++j) c[j] += p.a[i * p.k + l] * p.b[l * p.n + j];
  }
}

template <class T>
void multiply(Context& c, const Product<T>& p) {
  const std::int64_t pieces = std::clamp<std::int64_t>(
      p.m * p.n * p.k / (32 * 1024), 1, std::min<std::int64_t>(p.m, c.pool().thread_count()));
  c.pool().parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t first = piece * p.m / pieces;
    product_rows(p, first, (piece + 1) * p.m / pieces - first);
  });
}

// Rows [range) of `from` [rows, columns] become columns of `to`.
void turn_rows(const float* from, std::int64_t rows, std::int64_t columns, Range range, float* to) {
  transpose(from + range.begin * columns, columns, range.count(), columns, to + range.begin, rows);
}
void turn_rows(const double* from, std::int64_t rows, std::int64_t columns, Range range,
               double* to) {
  for (std::int64_t i = range.begin; i < range.end; ++i)
    for (std::int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

template <class T>
class MatrixStep {
 public:
  MatrixStep(Context& c, const MuonStepArgs& args, const MuonMatrix& matrix)
      : c_(c), args_(args), matrix_(matrix), e_(matrix.w.shape()), s_(args.scratch, e_) {}

  void run() {
    push();
    normalise();
    for (int i = 0; i < args_.iterations; ++i) iterate();
    T* w = matrix_.w.data<T>();
    const T minus_rate = static_cast<T>(-args_.lr);
    map_ranges(c_, e_.rows * e_.columns, kMapGrain, 16, [&](Range range) {
      for (std::int64_t i = range.begin; i < range.end; ++i)
        w[i] = std::fma(minus_rate, s_.x[i], w[i]);
      if constexpr (std::is_same_v<T, float>) write_copy(matrix_.w, matrix_.copy, range);
    });
  }

 private:
  // The momentum; u into X, and the squares of u and of w by rows.
  void push() {
    const T momentum = static_cast<T>(args_.momentum);
    c_.pool().parallel_for(e_.rows, [&](std::int64_t row) {
      const std::int64_t first = row * e_.columns;
      const T* g = matrix_.grad.data<const T>() + first;
      const T* w = matrix_.w.data<const T>() + first;
      T* m = matrix_.momentum_buffer.data<T>() + first;
      T* x = s_.x + first;
      double of_u = 0, of_w = 0;
      for (std::int64_t j = 0; j < e_.columns; ++j) {
        m[j] = std::fma(momentum, m[j], g[j]);
        x[j] = args_.nesterov ? std::fma(momentum, m[j], g[j]) : m[j];
        of_u += static_cast<double>(x[j]) * static_cast<double>(x[j]);
        of_w += static_cast<double>(w[j]) * static_cast<double>(w[j]);
      }
      s_.sums[row] = static_cast<T>(of_u);
      s_.sums[e_.rows + row] = static_cast<T>(of_w);
    });
  }

  void normalise() {
    double of_u = 0, of_w = 0;
    for (std::int64_t row = 0; row < e_.rows; ++row) {
      of_u += static_cast<double>(s_.sums[row]);
      of_w += static_cast<double>(s_.sums[e_.rows + row]);
    }
    const T to_x = static_cast<T>(1 / (std::sqrt(of_u) + MuonNumbers::kEpsilon));
    const T to_w = static_cast<T>(std::sqrt(static_cast<double>(e_.rows) / of_w));
    T* w = matrix_.w.data<T>();
    map_ranges(c_, e_.rows * e_.columns, kMapGrain, 16, [&](Range range) {
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        s_.x[i] *= to_x;
        w[i] *= to_w;
      }
    });
  }

  // a X + B X is (a I + B) X, so a is added to B's diagonal.
  void iterate() {
    const std::int64_t small = e_.smaller();
    const bool wide = e_.rows <= e_.columns;
    map_ranges(c_, e_.rows, kMapGrain / e_.columns, 16,
               [&](Range range) { turn_rows(s_.x, e_.rows, e_.columns, range, s_.other); });
    const T *left = wide ? s_.x : s_.other, *right = wide ? s_.other : s_.x;
    multiply<T>(c_, {left, right, s_.gram, small, small, std::max(e_.rows, e_.columns)});
    multiply<T>(c_, {s_.gram, s_.gram, s_.square, small, small, small});
    const T a = static_cast<T>(MuonNumbers::kA), b = static_cast<T>(MuonNumbers::kB),
            third = static_cast<T>(MuonNumbers::kC);
    map_ranges(c_, small, kMapGrain / small, 1, [&](Range range) {
      for (std::int64_t i = range.begin * small; i < range.end * small; ++i)
        s_.gram[i] = b * s_.gram[i] + third * s_.square[i];
      for (std::int64_t i = range.begin; i < range.end; ++i) s_.gram[i * small + i] += a;
    });
    if (wide)
      multiply<T>(c_, {s_.gram, s_.x, s_.other, e_.rows, e_.columns, e_.rows});
    else
      multiply<T>(c_, {s_.x, s_.gram, s_.other, e_.rows, e_.columns, e_.columns});
    std::swap(s_.x, s_.other);
  }

  Context& c_;
  const MuonStepArgs& args_;
  const MuonMatrix& matrix_;
  MuonExtents e_;
  MuonScratch<T> s_;
};

}  // namespace

void muon_step(Context& c, const MuonStepArgs& a) {
  for (const MuonMatrix& matrix : a.matrices)
    visit_float(matrix.w.dtype(),
                [&](auto zero) { MatrixStep<decltype(zero)>(c, a, matrix).run(); });
}

}  // namespace cpu
}  // namespace kiln
