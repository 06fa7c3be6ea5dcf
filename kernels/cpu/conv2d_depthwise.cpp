#include "kernels/cpu/conv2d_depthwise.h"

#include <algorithm>

#include "kernels/cpu/conv2d_depthwise_simd.h"
#include "kernels/cpu/conv2d_f32.h"

namespace kiln::cpu {
namespace {

DepthwiseAxis plain(const WindowAxis& a) {
  return {a.source, a.outputs,      a.stride,      a.first,     a.taps,
          a.step,   a.weight_first, a.weight_step, a.out_first, a.out_step};
}

// Who stands where in a group: `from` channels of a source pixel, `to` of an output pixel.
struct Groups {
  std::int64_t count, from, to;

  bool in_place() const { return from == 1 && to == 1; }
  std::int64_t pixel() const { return count * to * from; }
  // Floats of an image whose pixels are [from][count * to]; 0 where the image itself will do.
  std::int64_t spread_count(std::int64_t pixel_count) const {
    return in_place() ? 0 : whole_lines(pixel_count * pixel());
  }
  const float* spread(const float* image, std::int64_t pixel_count, float* copy) const {
    if (in_place()) return image;
    float* out = copy;
    for (std::int64_t p = 0; p < pixel_count; ++p, image += count * from)
      for (std::int64_t d = 0; d < from; ++d)
        for (std::int64_t g = 0; g < count; ++g)
          for (std::int64_t k = 0; k < to; ++k) *out++ = image[g * from + d];
    return copy;
  }
};

Groups forward_groups(const Conv2dShape& s) { return {s.groups, s.c / s.groups, s.k / s.groups}; }
Groups input_grad_groups(const Conv2dShape& s) {
  return {s.groups, s.k / s.groups, s.c / s.groups};
}

std::int64_t weight_count(const Conv2dShape& s) { return s.weights().element_count(); }

// [g, d][tap][i] to [tap][d][g, i].
void pack_input_grad(const Conv2dShape& s, const float* w, float* packed) {
  const std::int64_t group_k = s.k / s.groups, group_c = s.c / s.groups, taps = s.r * s.s;
  for (std::int64_t k = 0; k < s.k; ++k)
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t i = 0; i < group_c; ++i)
        packed[(tap * group_k + k % group_k) * s.c + k / group_k * group_c + i] =
            w[(k * taps + tap) * group_c + i];
}

DepthwiseJob forward_job(const Conv2dShape& s) {
  const Window window = forward_window(s);
  return {.h = plain(window.h),
          .w = plain(window.w),
          .channels = s.k,
          .depth = s.c / s.groups,
          .weight_row = s.s,
          .out_width = s.q()};
}

struct Images {
  std::int64_t count;
  const float* source;
  std::int64_t source_pixels, source_stride;
  float* out;
  std::int64_t out_stride;
};

// Every piece is some rows of one image; rows are independent, so how they are cut changes no bit.
void run_images(ThreadPool& pool, const DepthwiseJob& job, const Groups& groups,
                const Images& images, float* copies) {
  const std::int64_t rows = job.h.outputs;
  if (rows == 0 || job.w.outputs == 0) return;
  const std::int64_t threads = pool.thread_count();
  // A piece that copies its image copies all of it.
  const std::int64_t bands =
      groups.in_place() && images.count < 4 * threads ? std::min(rows, 4 * threads) : 1;
  const std::int64_t copy_stride = groups.spread_count(images.source_pixels);
  pool.parallel_for_threads(images.count * bands, [&](std::int64_t piece, int thread) {
    const std::int64_t image = piece / bands, band = piece % bands;
    const float* source = groups.spread(images.source + image * images.source_stride,
                                        images.source_pixels, copies + thread * copy_stride);
    float* out = images.out + image * images.out_stride;
    KILN_CALL_ISA(
        depthwise_rows_f32(job, source, out, band * rows / bands, (band + 1) * rows / bands));
  });
}

}  // namespace

bool is_depthwise(const Conv2dShape& s) {
  return s.groups > 1 && s.c / s.groups < 4 && s.k / s.groups < 4;
}

std::int64_t depthwise_packed_count(const Conv2dShape& s) { return whole_lines(weight_count(s)); }

std::int64_t depthwise_scratch_count(const Conv2dShape& s, int thread_count) {
  return thread_count * forward_groups(s).spread_count(s.h * s.w);
}

// [k][tap][d] to [tap][d][k].
void depthwise_pack(const Conv2dShape& s, const float* w, float* packed) {
  const std::int64_t rows = s.r * s.s * (s.c / s.groups);
  for (std::int64_t k = 0; k < s.k; ++k)
    for (std::int64_t row = 0; row < rows; ++row) packed[row * s.k + k] = w[k * rows + row];
}

std::size_t depthwise_dx_scratch_bytes(const Conv2dShape& s, int thread_count) {
  const std::int64_t copies = thread_count * input_grad_groups(s).spread_count(s.p() * s.q());
  return static_cast<std::size_t>(whole_lines(weight_count(s)) + copies) * sizeof(float);
}

std::size_t depthwise_dw_scratch_bytes(const Conv2dShape& s, int thread_count, int parts) {
  const std::int64_t sums = parts * whole_lines(weight_count(s) + s.k);
  const std::int64_t copies = thread_count * forward_groups(s).spread_count(s.h * s.w);
  return static_cast<std::size_t>(sums + copies) * sizeof(float);
}

void depthwise_f32(Context& context, const Conv2dArgs& a) {
  const Conv2dShape& s = a.shape;
  auto* scratch = reinterpret_cast<float*>(a.scratch);
  const bool pack = a.packed.empty();
  if (pack) depthwise_pack(s, a.w.data<float>(), scratch);
  DepthwiseJob job = forward_job(s);
  job.weights = pack ? scratch : a.packed.data<float>();
  job.start = a.bias.empty() ? nullptr : a.bias.data<float>();
  job.relu = a.activation == Activation::relu;
  run_images(context.pool(), job, forward_groups(s),
             {.count = s.n,
              .source = a.x.data<float>(),
              .source_pixels = s.h * s.w,
              .source_stride = s.h * s.w * s.c,
              .out = a.y.data<float>(),
              .out_stride = s.p() * s.q() * s.k},
             pack ? scratch + depthwise_packed_count(s) : scratch);
}

void depthwise_dx_f32(Context& context, const Conv2dGradArgs& a) {
  const Conv2dShape& s = a.shape;
  auto* packed = reinterpret_cast<float*>(a.scratch);
  pack_input_grad(s, a.w.data<float>(), packed);
  for (std::int64_t phase = 0; phase < s.stride_h * s.stride_w; ++phase) {
    const Window window = input_grad_window(s, phase / s.stride_w, phase % s.stride_w);
    const DepthwiseJob job{.h = plain(window.h),
                           .w = plain(window.w),
                           .channels = s.c,
                           .depth = s.k / s.groups,
                           .weight_row = s.s,
                           .out_width = s.w,
                           .weights = packed,
                           .start = nullptr,
                           .add = a.mode == GradWrite::accumulate,
                           .relu = false};
    run_images(context.pool(), job, input_grad_groups(s),
               {.count = s.n,
                .source = a.dy.data<float>(),
                .source_pixels = s.p() * s.q(),
                .source_stride = s.p() * s.q() * s.k,
                .out = a.dx.data<float>(),
                .out_stride = s.h * s.w * s.c},
               packed + whole_lines(weight_count(s)));
  }
}

void depthwise_dw_f32(Context& context, const Conv2dGradArgs& a) {
  const Conv2dShape& s = a.shape;
  const int parts = context.reduction_parts(s.n);
  const std::int64_t count = weight_count(s), stride = whole_lines(count + s.k);
  auto* partials = reinterpret_cast<float*>(a.scratch);
  float* copies = partials + parts * stride;
  const Groups groups = forward_groups(s);
  context.pool().parallel_for_threads(parts, [&](std::int64_t part, int thread) {
    float* sums = partials + part * stride;
    std::fill_n(sums, stride, 0.0f);
    DepthwiseJob job = forward_job(s);
    job.weights = sums;
    for (std::int64_t n = part * s.n / parts; n < (part + 1) * s.n / parts; ++n) {
      const float* source = groups.spread(a.x.data<float>() + n * s.h * s.w * s.c, s.h * s.w,
                                          copies + thread * groups.spread_count(s.h * s.w));
      const float* dy = a.dy.data<float>() + n * s.p() * s.q() * s.k;
      KILN_CALL_ISA(depthwise_dw_f32(job, source, dy, sums, sums + count));
    }
  });
  const auto total = [&](std::int64_t at, float before) {
    float sum = a.accumulate_parameters ? before : 0.0f;
    for (int part = 0; part < parts; ++part) sum += partials[part * stride + at];
    return sum;
  };
  float* dw = a.dw.data<float>();
  const std::int64_t rows = count / s.k;
  for (std::int64_t k = 0; k < s.k; ++k)
    for (std::int64_t row = 0; row < rows; ++row)
      dw[k * rows + row] = total(row * s.k + k, dw[k * rows + row]);
  if (a.dbias.empty()) return;
  float* dbias = a.dbias.data<float>();
  for (std::int64_t k = 0; k < s.k; ++k) dbias[k] = total(count + k, dbias[k]);
}

}  // namespace kiln::cpu
