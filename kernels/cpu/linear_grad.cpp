#include "kernels/include/linear_grad.h"

#include <algorithm>

#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/has_bf16.h"
#include "kernels/cpu/linear_bf16.h"
#include "kernels/cpu/pointwise_simd.h"

namespace kiln {

std::size_t linear_grad_scratch_bytes(const Context& context, std::int64_t row_count,
                                      std::int64_t input_count, std::int64_t output_count,
                                      DType dtype) {
  if (cpu::computes_bf16(dtype) && context.device().is_host())
    return cpu::linear_grad_bf16_scratch_bytes(context, row_count, input_count, output_count);
  return static_cast<std::size_t>(row_count * output_count) * size_of(dtype);
}

namespace cpu {
namespace {

struct Sizes {
  explicit Sizes(const LinearGradArgs& a)
      : rows(a.x.shape()[0]), inputs(a.x.shape()[1]), outputs(a.w.shape()[0]) {}
  // Threads worth waking: each should have a few microseconds of work.
  std::int64_t pieces(const ThreadPool& pool) const {
    return std::clamp<std::int64_t>(rows * inputs * outputs / (32 * 1024), 1, pool.thread_count());
  }
  std::int64_t rows, inputs, outputs;
};

// dL/d(x w^T + bias): dy itself, or its masked copy in scratch.
const float* dz_f32(const LinearGradArgs& a) {
  const float* dy = a.dy.data<float>();
  if (a.activation == Activation::none) return dy;
  float* dz = reinterpret_cast<float*>(a.scratch);
  KILN_CALL_ISA(relu_grad(a.y.data<float>(), dy, dz, a.dy.element_count(), false));
  return dz;
}

const double* dz_f64(const LinearGradArgs& a) {
  const double* dy = a.dy.data<double>();
  if (a.activation == Activation::none) return dy;
  const double* y = a.y.data<double>();
  double* dz = reinterpret_cast<double*>(a.scratch);
  for (std::int64_t i = 0; i < a.dy.element_count(); ++i) dz[i] = y[i] > 0 ? dy[i] : 0.0;
  return dz;
}

// Rows [first, first + count) of dx += dz w over outputs [begin, end); from 0, and by the mode, at
// begin = 0.
void add_dx(const LinearGradArgs& a, const Sizes& s, const float* dz, std::int64_t first,
            std::int64_t count, std::int64_t begin, std::int64_t end) {
  const GemmTile& tile = gemm_tile();
  tile.for_each_block(s.inputs, [&](std::int64_t column, const GemmColumns& block) {
    GemmTileJob t;
    t.a_row = s.outputs;
    t.b = a.w.data<float>() + begin * s.inputs + column;
    t.b_step = s.inputs;
    t.depth = end - begin;
    t.c_row = s.inputs;
    t.add_to_c = begin > 0 || a.mode == GradWrite::accumulate;
    for_each_row_block(count, block.max_rows, [&](std::int64_t row, std::int64_t rows) {
      t.a = dz + (first + row) * s.outputs + begin;
      t.c = a.dx.data<float>() + (first + row) * s.inputs + column;
      tile.run(t, block, rows);
    });
  });
}

// dx = dz w: sums over outputs; w is read in place, its rows being vectors along the inputs. It is
// read in runs of whole rows that fit the second level cache.
void linear_dx_f32(Context& context, const LinearGradArgs& a, const float* dz) {
  const Sizes s(a);
  // Rows of a page or more lie on different pages, which no prefetcher crosses: few at a time.
  const std::int64_t run = s.inputs >= 1024 ? 16 : std::max<std::int64_t>(32, 64 * 1024 / s.inputs);
  const std::int64_t pieces = std::min(s.pieces(context.pool()), s.rows);
  context.pool().parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t first = piece * s.rows / pieces;
    const std::int64_t count = (piece + 1) * s.rows / pieces - first;
    for (std::int64_t begin = 0; begin < s.outputs; begin += run)
      add_dx(a, s, dz, first, count, begin, std::min(begin + run, s.outputs));
  });
}

// dw = dz^T x, cut by rows of dw: every thread sums over the whole batch, so there is nothing to
// add up afterwards.
void linear_dw_f32(Context& context, const LinearGradArgs& a, const float* dz) {
  const Sizes s(a);
  const GemmTile& tile = gemm_tile();
  const std::int64_t pieces = std::min(s.pieces(context.pool()), s.outputs);
  context.pool().parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t first = piece * s.outputs / pieces;
    const std::int64_t count = (piece + 1) * s.outputs / pieces - first;
    tile.for_each_block(s.inputs, [&](std::int64_t column, const GemmColumns& block) {
      GemmTileJob t;
      t.a_row = 1;
      t.a_step = s.outputs;
      t.b = a.x.data<float>() + column;
      t.b_step = s.inputs;
      t.depth = s.rows;
      t.c_row = s.inputs;
      t.add_to_c = a.accumulate_parameters;
      for_each_row_block(count, block.max_rows, [&](std::int64_t row, std::int64_t rows) {
        t.a = dz + first + row;
        t.c = a.dw.data<float>() + (first + row) * s.inputs + column;
        tile.run(t, block, rows);
      });
    });
  });
}

// dbias: a row of ones times dz.
void linear_dbias_f32(const LinearGradArgs& a, const float* dz) {
  static constexpr float kOne = 1.0f;
  const Sizes s(a);
  const GemmTile& tile = gemm_tile();
  tile.for_each_block(s.outputs, [&](std::int64_t column, const GemmColumns& block) {
    GemmTileJob t;
    t.a = &kOne;
    t.a_row = 1;
    t.a_step = 0;
    t.b = dz + column;
    t.b_step = s.outputs;
    t.depth = s.rows;
    t.c = a.dbias.data<float>() + column;
    t.add_to_c = a.accumulate_parameters;
    tile.run(t, block, 1);
  });
}

void linear_dx_f64(Context& context, const LinearGradArgs& a, const double* dz) {
  const Sizes s(a);
  const double* w = a.w.data<double>();
  context.pool().parallel_for(s.rows, [&](std::int64_t n) {
    double* dx = a.dx.data<double>() + n * s.inputs;
    if (a.mode == GradWrite::overwrite) std::fill_n(dx, s.inputs, 0.0);
    for (std::int64_t o = 0; o < s.outputs; ++o) {
      const double g = dz[n * s.outputs + o];
      for (std::int64_t i = 0; i < s.inputs; ++i) dx[i] += g * w[o * s.inputs + i];
    }
  });
}

void linear_dw_f64(Context& context, const LinearGradArgs& a, const double* dz) {
  const Sizes s(a);
  context.pool().parallel_for(s.outputs, [&](std::int64_t o) {
    double* dw = a.dw.data<double>() + o * s.inputs;
    if (!a.accumulate_parameters) std::fill_n(dw, s.inputs, 0.0);
    double sum = 0;
    for (std::int64_t n = 0; n < s.rows; ++n) {
      const double g = dz[n * s.outputs + o];
      const double* x = a.x.data<double>() + n * s.inputs;
      for (std::int64_t i = 0; i < s.inputs; ++i) dw[i] += g * x[i];
      sum += g;
    }
    if (a.dbias.empty()) return;
    double* dbias = a.dbias.data<double>();
    dbias[o] = a.accumulate_parameters ? dbias[o] + sum : sum;
  });
}

}  // namespace

void linear_grad(Context& context, const LinearGradArgs& args) {
  if (args.x.dtype() == DType::f64) {
    const double* dz = dz_f64(args);
    if (args.wants_dx()) linear_dx_f64(context, args, dz);
    return linear_dw_f64(context, args, dz);
  }
  if (computes_bf16(args.x.dtype())) return linear_grad_bf16(context, args);
  const float* dz = dz_f32(args);
  if (args.wants_dx()) linear_dx_f32(context, args, dz);
  linear_dw_f32(context, args, dz);
  if (!args.dbias.empty()) linear_dbias_f32(args, dz);
}

}  // namespace cpu
}  // namespace kiln
