#include "kernels/include/conv2d_relu_maxpool_grad.h"

#include "kernels/cpu/conv2d_relu_maxpool_extents.h"
#include "kernels/cpu/conv2d_relu_maxpool_plain.h"
#include "kernels/cpu/conv2d_relu_maxpool_simd.h"
#include "kernels/include/conv2d_relu_maxpool.h"

namespace kiln {

namespace cpu {
namespace {

// The partial sums of one group of images: dw, then dbias.
template <class T>
void run_part_plain(const Conv2dReluMaxpoolGradArgs& a, std::int64_t begin, std::int64_t end,
                    T* sums) {
  const Conv2dShape& s = a.shape;
  const std::int64_t x_image = s.h * s.w * s.c, y_image = a.pool.p() * a.pool.q() * s.k;
  const std::int64_t dw_count = s.weights().element_count();
  std::fill_n(sums, dw_count + s.k, T(0));
  for (std::int64_t n = begin; n < end; ++n) {
    T* dx = a.wants_dx() ? a.dx.data<T>() + n * x_image : nullptr;
    if (dx != nullptr && a.mode == GradWrite::overwrite) std::fill_n(dx, x_image, T(0));
    plain::conv_relu_maxpool_image_grad(s, a.pool, a.x.data<T>() + n * x_image, a.w.data<T>(),
                                        a.y.data<T>() + n * y_image,
                                        a.index.data<std::uint8_t>() + n * y_image,
                                        a.dy.data<T>() + n * y_image, dx, sums, sums + dw_count);
  }
}

// to[i] (+)= sum over the parts, in their order.
template <class T>
void add_parts(const T* partial, int parts, std::int64_t part_count, std::int64_t count,
               bool accumulate, T* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    T sum = accumulate ? to[i] : T(0);
    for (int part = 0; part < parts; ++part) sum += partial[part * part_count + i];
    to[i] = sum;
  }
}

template <class T>
void run_plain(Context& context, const Conv2dReluMaxpoolGradArgs& a) {
  const Conv2dShape& s = a.shape;
  const std::int64_t dw_count = s.weights().element_count(), part_count = dw_count + s.k;
  const int parts = context.reduction_parts(s.n);
  T* partial = reinterpret_cast<T*>(a.scratch);
  context.pool().parallel_for(parts, [&](std::int64_t part) {
    run_part_plain(a, part * s.n / parts, (part + 1) * s.n / parts, partial + part * part_count);
  });
  add_parts(partial, parts, part_count, dw_count, a.accumulate_parameters, a.dw.data<T>());
  if (!a.dbias.empty())
    add_parts(partial + dw_count, parts, part_count, s.k, a.accumulate_parameters,
              a.dbias.data<T>());
}

// Scratch of the f32 body, in floats: the packed filters, the partial sums of every part, then one
// region per thread; each starts on a multiple of 64 bytes.
struct ScratchLayout {
  std::int64_t packed, part, thread;
};

ScratchLayout scratch_layout(const ConvPoolExtents& e) {
  const auto aligned = [](std::int64_t floats) { return (floats + 15) / 16 * 16; };
  return {aligned(KILN_CALL_ISA(conv_pool_grad_packed_floats(e))),
          aligned(std::int64_t{e.k} * e.r * KILN_CALL_ISA(conv_pool_dw_row(e)) + e.k),
          aligned(KILN_CALL_ISA(conv_pool_grad_thread_floats(e)))};
}

// The images [begin, end) of the call.
ConvPoolGradImages images_of(const Conv2dReluMaxpoolGradArgs& a, std::int64_t begin,
                             std::int64_t end) {
  const std::int64_t x_at = begin * a.shape.h * a.shape.w * a.shape.c;
  const std::int64_t y_at = begin * a.pool.p() * a.pool.q() * a.shape.k;
  return {.x = a.x.data<float>() + x_at,
          .y = a.y.data<float>() + y_at,
          .index = a.index.data<std::uint8_t>() + y_at,
          .dy = a.dy.data<float>() + y_at,
          .dx = a.wants_dx() ? a.dx.data<float>() + x_at : nullptr,
          .add_to_dx = a.mode == GradWrite::accumulate,
          .count = end - begin,
          .half_vectors = splits_512_bits(),
          .sums = nullptr,
          .scratch = nullptr};
}

void run_simd(Context& context, const Conv2dReluMaxpoolGradArgs& a) {
  const ConvPoolExtents e = extents_of(a.shape, a.pool);
  const ScratchLayout layout = scratch_layout(e);
  const int parts = context.reduction_parts(a.shape.n);
  float* packed = reinterpret_cast<float*>(a.scratch);
  float* partial = packed + layout.packed;
  float* threads = partial + parts * layout.part;
  KILN_CALL_ISA(conv_pool_grad_pack(e, a.wants_dx() ? a.w.data<float>() : nullptr, packed));
  context.pool().parallel_for_threads(parts, [&](std::int64_t part, int thread) {
    ConvPoolGradImages images =
        images_of(a, part * a.shape.n / parts, (part + 1) * a.shape.n / parts);
    images.sums = partial + part * layout.part;
    images.scratch = threads + thread * layout.thread;
    std::fill_n(images.sums, layout.part, 0.0f);
    KILN_CALL_ISA(conv_pool_grad(e, packed, images));
  });
  const int row = KILN_CALL_ISA(conv_pool_dw_row(e)), row_taps = e.s * e.c;
  for (int i = 0; i < e.k * e.r; ++i)
    add_parts(partial + i * row, parts, layout.part, row_taps, a.accumulate_parameters,
              a.dw.data<float>() + i * row_taps);
  if (!a.dbias.empty())
    add_parts(partial + e.k * e.r * row, parts, layout.part, e.k, a.accumulate_parameters,
              a.dbias.data<float>());
}

}  // namespace

void conv2d_relu_maxpool_grad(Context& context, const Conv2dReluMaxpoolGradArgs& args) {
  if (args.x.dtype() == DType::f32) return run_simd(context, args);
  run_plain<double>(context, args);
}

}  // namespace cpu

std::size_t conv2d_relu_maxpool_grad_scratch_bytes(const Context& context, const Conv2dShape& shape,
                                                   const Pool2dShape& pool, DType dtype) {
  if (!conv2d_relu_maxpool_supported(shape, pool)) return 0;
  const auto parts = static_cast<std::size_t>(context.reduction_parts(shape.n));
  if (dtype != DType::f32)
    return parts * static_cast<std::size_t>(shape.weights().element_count() + shape.k) *
           size_of(dtype);
  const cpu::ScratchLayout layout = cpu::scratch_layout(cpu::extents_of(shape, pool));
  const auto threads = static_cast<std::size_t>(context.pool().thread_count());
  return sizeof(float) *
         (static_cast<std::size_t>(layout.packed) + parts * static_cast<std::size_t>(layout.part) +
          threads * static_cast<std::size_t>(layout.thread));
}

}  // namespace kiln
