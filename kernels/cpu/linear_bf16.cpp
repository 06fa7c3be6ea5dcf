#include "kernels/cpu/linear_bf16.h"

#include <algorithm>

#include "kernels/cpu/conv2d_bf16.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/include/relu_grad.h"

namespace kiln::cpu {
namespace {

// Rows as images of one line of pixels: as many as give every thread some, and enough pixels each
// for whole register blocks. Which changes no bit of y or dx.
Conv2dShape rows_as_pixels(std::int64_t rows, std::int64_t inputs, std::int64_t outputs,
                           int thread_count) {
  constexpr std::int64_t kPixels = 8;
  std::int64_t images = std::min<std::int64_t>(4 * thread_count, rows / kPixels);
  while (images > 1 && rows % images != 0) --images;
  images = std::max<std::int64_t>(images, 1);
  return {.n = images, .w = rows / images, .c = inputs, .k = outputs};
}

// For dw, summed over rows in one part, so that the thread count changes no bit: pairs are made of
// images, hence a row each; the kernels of f32 cut a sum over images by threads, hence one image.
Conv2dShape rows_of_sum(std::int64_t rows, std::int64_t inputs, std::int64_t outputs) {
  const Conv2dShape apart{.n = rows, .c = inputs, .k = outputs};
  if (conv2d_takes_pairs(apart)) return apart;
  return {.w = rows, .c = inputs, .k = outputs};
}

std::size_t masked_bytes(std::int64_t rows, std::int64_t outputs) {
  return static_cast<std::size_t>(whole_lines(rows * outputs)) * sizeof(BFloat16);
}

}  // namespace

std::size_t linear_bf16_scratch_bytes(const Context& context, std::int64_t rows,
                                      std::int64_t inputs, std::int64_t outputs) {
  const int threads = context.pool().thread_count();
  return conv2d_bf16_scratch_bytes(rows_as_pixels(rows, inputs, outputs, threads), threads);
}

std::size_t linear_grad_bf16_scratch_bytes(const Context& context, std::int64_t rows,
                                           std::int64_t inputs, std::int64_t outputs) {
  const int threads = context.pool().thread_count();
  const auto bytes = [&](const Conv2dShape& s) {
    return conv2d_grad_bf16_scratch_bytes(s, threads, 1);
  };
  return (masked_bytes(rows, outputs) + 63) / 64 * 64 +
         std::max(bytes(rows_as_pixels(rows, inputs, outputs, threads)),
                  bytes(rows_of_sum(rows, inputs, outputs)));
}

void linear_bf16(Context& context, const LinearArgs& a) {
  const Conv2dShape s =
      rows_as_pixels(a.x.shape()[0], a.w.shape()[1], a.w.shape()[0], context.pool().thread_count());
  conv2d_bf16(context, {.shape = s,
                        .x = a.x.reshaped(s.input()),
                        .w = a.w.reshaped(s.weights()),
                        .bias = a.bias,
                        .y = a.y.reshaped(s.output()),
                        .activation = a.activation,
                        .scratch = a.scratch});
}

void linear_grad_bf16(Context& context, const LinearGradArgs& a) {
  const std::int64_t rows = a.x.shape()[0], inputs = a.w.shape()[1], outputs = a.w.shape()[0];
  Tensor dz = a.dy;
  std::byte* scratch = a.scratch;
  if (a.activation == Activation::relu) {
    dz = Tensor(scratch, a.dy.shape(), DType::bf16);
    kiln::relu_grad(context, {.y = a.y, .dy = a.dy, .dx = dz, .mode = GradWrite::overwrite});
    scratch += (masked_bytes(rows, outputs) + 63) / 64 * 64;
  }
  if (a.wants_dx()) {
    const Conv2dShape s = rows_as_pixels(rows, inputs, outputs, context.pool().thread_count());
    conv2d_dx_bf16(context, {.shape = s,
                             .w = a.w.reshaped(s.weights()),
                             .dy = dz.reshaped(s.output()),
                             .dx = a.dx.reshaped(s.input()),
                             .mode = a.mode,
                             .scratch = scratch});
  }
  const Conv2dShape s = rows_of_sum(rows, inputs, outputs);
  conv2d_dw_bf16(context,
                 {.shape = s,
                  .x = a.x.reshaped(s.input()),
                  .dy = dz.reshaped(s.output()),
                  .dw = a.dw.reshaped(s.weights()),
                  .dbias = a.dbias,
                  .accumulate_parameters = a.accumulate_parameters,
                  .scratch = scratch},
                 1);
}

}  // namespace kiln::cpu
