#include "kernels/include/linear.h"

#include <algorithm>

#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_dot.h"

KILN_DECLARE_ISA(void linear_dot(const LinearDotJob& job, std::int64_t begin, std::int64_t end);)

namespace kiln {
namespace cpu {
namespace {

// Packing the weights for the register blocks pays from some number of rows on, later for long dot
// products, which need little besides multiply-adds. Measured on Zen 4 with the bench of this stem;
// 32 rows of LeNet's fc1 with its whole step on Sapphire Rapids (2 % without packing).
constexpr bool packs(std::int64_t rows, std::int64_t inputs, std::int64_t outputs) {
  return inputs < 256 ? rows >= 16 : rows > 32 && inputs <= 512 && outputs >= 64;
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
  const LinearDotJob job{.x = a.x.data<float>(),
                         .w = a.w.data<float>(),
                         .bias = a.bias.empty() ? nullptr : a.bias.data<float>(),
                         .y = a.y.data<float>(),
                         .rows = a.x.shape()[0],
                         .inputs = a.w.shape()[1],
                         .outputs = a.w.shape()[0],
                         .relu = a.activation == Activation::relu};
  if (packs(job.rows, job.inputs, job.outputs))
    linear_packed(context, job, reinterpret_cast<float*>(a.scratch));
  else
    linear_dots(context, job);
}

}  // namespace cpu

std::size_t linear_scratch_bytes(const Context&, std::int64_t row_count, std::int64_t input_count,
                                 std::int64_t output_count, DType dtype) {
  if (dtype != DType::f32 || !cpu::packs(row_count, input_count, output_count)) return 0;
  return static_cast<std::size_t>(cpu::gemm_tile().padded(output_count) * input_count) *
         sizeof(float);
}

}  // namespace kiln
