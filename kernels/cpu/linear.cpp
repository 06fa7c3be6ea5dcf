#include "kernels/include/linear.h"

#include <algorithm>

#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/has_bf16.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_bf16.h"
#include "kernels/cpu/linear_dot.h"
#include "kernels/cpu/transpose.h"

KILN_DECLARE_ISA(void linear_dot(const LinearDotJob& job, std::int64_t begin, std::int64_t end);)

namespace kiln {
namespace cpu {
namespace {

// Three ways to the same sums. Dot products along the inputs read x and w as they are. The register
// blocks want one of the two transposed: w where there are many rows, x where there are few. Where
// each begins to pay was measured with the bench of this stem on Zen 4, and for few rows of long
// dot products with LeNet's step at batch 64 on Sapphire Rapids.
enum class Way { dots, pack_w, pack_x };

constexpr Way way_of(std::int64_t rows, std::int64_t inputs, std::int64_t outputs) {
  if (rows >= 16 && rows <= 64 && outputs >= 2 * rows) return Way::pack_x;
  if (inputs < 256 ? rows >= 16 : rows >= 32 && inputs <= 512 && outputs >= 64) return Way::pack_w;
  return Way::dots;
}
// Multiply-adds worth one more thread: a few microseconds of work.
constexpr std::int64_t kWorkPerThread = 32 * 1024;

std::int64_t thread_share(const ThreadPool& pool, std::int64_t multiply_count) {
  return std::clamp<std::int64_t>(multiply_count / kWorkPerThread, 1, pool.thread_count());
}

void linear_dots(Context& context, const LinearDotJob& job) {
  const std::int64_t pieces = thread_share(context.pool(), job.rows * job.inputs * job.outputs);
  // Whole groups of four outputs, so that no piece ends in slow blocks.
  const std::int64_t groups = (job.outputs + 3) / 4;
  context.pool().parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t begin = piece * groups / pieces * 4;
    const std::int64_t end = std::min((piece + 1) * groups / pieces * 4, job.outputs);
    KILN_CALL_ISA(linear_dot(job, begin, end));
  });
}

void linear_packed(Context& context, const LinearDotJob& job, float* panels) {
  ThreadPool& pool = context.pool();
  const GemmTile& tile = gemm_tile();
  const std::int64_t pieces = thread_share(pool, job.rows * job.inputs * job.outputs);
  pool.parallel_for(pieces, [&](std::int64_t piece) {
    pack_transposed(tile, job.w, job.outputs, job.inputs, piece * job.inputs / pieces,
                    (piece + 1) * job.inputs / pieces, panels);
  });
  pool.parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t first = piece * job.rows / pieces;
    const std::int64_t count = (piece + 1) * job.rows / pieces - first;
    tile.for_each_block(job.outputs, [&](std::int64_t column, const GemmColumns& block) {
      GemmTileJob t;
      t.a_row = job.inputs;
      t.b = panels + column * job.inputs;
      t.b_step = block.width;
      t.depth = job.inputs;
      t.start = job.bias == nullptr ? nullptr : job.bias + column;
      t.c_row = job.outputs;
      t.relu = job.relu;
      for_each_row_block(count, block.max_rows, [&](std::int64_t row, std::int64_t rows) {
        t.a = job.x + (first + row) * job.inputs;
        t.c = job.y + (first + row) * job.outputs + column;
        tile.run(t, block, rows);
      });
    });
  });
}

// y = (w x^T)^T: the panels hold x^T, and what comes out is turned, with bias and relu, at the end.
void linear_turned(Context& context, const LinearDotJob& job, float* panels) {
  ThreadPool& pool = context.pool();
  const GemmTile& tile = gemm_tile();
  float* turned = panels + tile.padded(job.rows) * job.inputs;  // [outputs, rows]
  pack_transposed(tile, job.x, job.rows, job.inputs, 0, job.inputs, panels);
  const std::int64_t pieces = thread_share(pool, job.rows * job.inputs * job.outputs);
  pool.parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t first = piece * job.outputs / pieces;
    const std::int64_t count = (piece + 1) * job.outputs / pieces - first;
    tile.for_each_block(job.rows, [&](std::int64_t column, const GemmColumns& block) {
      GemmTileJob t;
      t.a_row = job.inputs;
      t.b = panels + column * job.inputs;
      t.b_step = block.width;
      t.depth = job.inputs;
      t.c_row = job.rows;
      for_each_row_block(count, block.max_rows, [&](std::int64_t row, std::int64_t rows) {
        t.a = job.w + (first + row) * job.inputs;
        t.c = turned + (first + row) * job.rows + column;
        tile.run(t, block, rows);
      });
    });
  });
  transpose(turned, job.rows, job.outputs, job.rows, job.y, job.outputs);
  for (std::int64_t n = 0; n < job.rows; ++n) {
    float* y = job.y + n * job.outputs;
    for (std::int64_t o = 0; o < job.outputs; ++o) {
      const float sum = job.bias == nullptr ? y[o] : y[o] + job.bias[o];
      y[o] = job.relu && sum < 0 ? 0.0f : sum;
    }
  }
}

void linear_f64(Context& context, const LinearArgs& a) {
  const std::int64_t inputs = a.w.shape()[1], outputs = a.w.shape()[0];
  const double* w = a.w.data<double>();
  const double* bias = a.bias.empty() ? nullptr : a.bias.data<double>();
  context.pool().parallel_for(a.x.shape()[0], [&](std::int64_t n) {
    const double* x = a.x.data<double>() + n * inputs;
    double* y = a.y.data<double>() + n * outputs;
    for (std::int64_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (std::int64_t i = 0; i < inputs; ++i) sum += x[i] * w[o * inputs + i];
      if (bias != nullptr) sum += bias[o];
      y[o] = a.activation == Activation::relu && sum < 0 ? 0.0 : sum;
    }
  });
}

}  // namespace

void linear(Context& context, const LinearArgs& a) {
  if (a.x.dtype() == DType::f64) return linear_f64(context, a);
  if (computes_bf16(a.x.dtype())) return linear_bf16(context, a);
  const LinearDotJob job{.x = a.x.data<float>(),
                         .w = a.w.data<float>(),
                         .bias = a.bias.empty() ? nullptr : a.bias.data<float>(),
                         .y = a.y.data<float>(),
                         .rows = a.x.shape()[0],
                         .inputs = a.w.shape()[1],
                         .outputs = a.w.shape()[0],
                         .relu = a.activation == Activation::relu};
  float* scratch = reinterpret_cast<float*>(a.scratch);
  switch (way_of(job.rows, job.inputs, job.outputs)) {
    case Way::dots:
      return linear_dots(context, job);
    case Way::pack_w:
      return linear_packed(context, job, scratch);
    case Way::pack_x:
      return linear_turned(context, job, scratch);
  }
}

}  // namespace cpu

std::size_t linear_scratch_bytes(const Context& context, std::int64_t row_count,
                                 std::int64_t input_count, std::int64_t output_count, DType dtype) {
  if (cpu::computes_bf16(dtype) && context.device().is_host())
    return cpu::linear_bf16_scratch_bytes(context, row_count, input_count, output_count);
  if (dtype != DType::f32) return 0;
  const auto panel_floats = [&](std::int64_t columns) {
    return cpu::gemm_tile().padded(columns) * input_count;
  };
  std::int64_t floats = 0;
  switch (cpu::way_of(row_count, input_count, output_count)) {
    case cpu::Way::dots:
      break;
    case cpu::Way::pack_w:
      floats = panel_floats(output_count);
      break;
    case cpu::Way::pack_x:
      floats = panel_floats(row_count) + row_count * output_count;
      break;
  }
  return static_cast<std::size_t>(floats) * sizeof(float);
}

}  // namespace kiln
