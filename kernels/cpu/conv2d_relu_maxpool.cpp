#include "kernels/include/conv2d_relu_maxpool.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/conv2d_relu_maxpool_extents.h"
#include "kernels/cpu/conv2d_relu_maxpool_plain.h"
#include "kernels/cpu/conv2d_relu_maxpool_simd.h"

namespace kiln {
namespace cpu {
namespace {

// Scratch of the f32 body, in floats: the packed filters, where the call packs them, then one
// region per thread; each starts on a multiple of 64 bytes.
struct ScratchLayout {
  std::int64_t packed, thread;
};

ScratchLayout scratch_layout(const ConvPoolExtents& e, Filters filters) {
  const auto aligned = [](std::int64_t floats) { return (floats + 15) / 16 * 16; };
  const std::int64_t thread = KILN_CALL_ISA(conv_pool_thread_floats(e));
  if (filters == Filters::packed) return {0, aligned(thread)};
  return {aligned(KILN_CALL_ISA(conv_pool_packed_floats(e)) +
                  KILN_CALL_ISA(conv_pool_pack_scratch_floats(e))),
          aligned(thread)};
}

const float* floats_or_null(const Tensor& tensor) {
  return tensor.empty() ? nullptr : tensor.data<float>();
}

template <class T>
void run_plain(Context& context, const Conv2dReluMaxpoolArgs& a) {
  const Conv2dShape& s = a.shape;
  const std::int64_t x_image = s.h * s.w * s.c, y_image = a.pool.p() * a.pool.q() * s.k;
  const T* x = a.x.data<T>();
  const T* w = a.w.data<T>();
  const T* bias = a.bias.empty() ? nullptr : a.bias.data<T>();
  T* y = a.y.data<T>();
  std::uint8_t* index = a.index.empty() ? nullptr : a.index.data<std::uint8_t>();
  context.pool().parallel_for(s.n, [&](std::int64_t n) {
    plain::conv_relu_maxpool_image(s, a.pool, x + n * x_image, w, bias, y + n * y_image,
                                   index == nullptr ? nullptr : index + n * y_image);
  });
}

void run_simd(Context& context, const Conv2dReluMaxpoolArgs& a) {
  const ConvPoolExtents e = extents_of(a.shape, a.pool);
  const bool pack = a.packed.empty();
  const ScratchLayout layout = scratch_layout(e, pack ? Filters::plain : Filters::packed);
  const std::int64_t n = a.shape.n, x_image = e.h * e.w * e.c, y_image = e.p * e.q * e.k;
  const std::int64_t chunks = std::min<std::int64_t>(n, context.pool().thread_count());
  float* scratch = reinterpret_cast<float*>(a.scratch);
  std::uint8_t* index = a.index.empty() ? nullptr : a.index.data<std::uint8_t>();
  if (pack) KILN_CALL_ISA(conv_pool_pack(e, a.w.data<float>(), floats_or_null(a.bias), scratch));
  const float* packed = pack ? scratch : a.packed.data<float>();
  context.pool().parallel_for(chunks, [&](std::int64_t chunk) {
    const std::int64_t begin = chunk * n / chunks, end = (chunk + 1) * n / chunks;
    const ConvPoolImages images{.x = a.x.data<float>() + begin * x_image,
                                .y = a.y.data<float>() + begin * y_image,
                                .index = index == nullptr ? nullptr : index + begin * y_image,
                                .count = end - begin,
                                .scratch = scratch + layout.packed + chunk * layout.thread};
    KILN_CALL_ISA(conv_pool_forward(e, packed, images));
  });
}

}  // namespace

void conv2d_relu_maxpool(Context& context, const Conv2dReluMaxpoolArgs& args) {
  if (args.x.dtype() == DType::f32) return run_simd(context, args);
  run_plain<double>(context, args);
}

}  // namespace cpu

std::size_t conv2d_relu_maxpool_scratch_bytes(const Context& context, const Conv2dShape& shape,
                                              const Pool2dShape& pool, DType dtype,
                                              Filters filters) {
  if (dtype != DType::f32 || !conv2d_relu_maxpool_supported(shape, pool)) return 0;
  const cpu::ScratchLayout layout = cpu::scratch_layout(cpu::extents_of(shape, pool), filters);
  return sizeof(float) *
         static_cast<std::size_t>(layout.packed + context.pool().thread_count() * layout.thread);
}

std::int64_t conv2d_relu_maxpool_packed_count(const Conv2dShape& shape, const Pool2dShape& pool) {
  const cpu::ConvPoolExtents e = cpu::extents_of(shape, pool);
  return KILN_CALL_ISA(conv_pool_packed_floats(e));
}

void conv2d_relu_maxpool_pack(const Conv2dShape& shape, const Pool2dShape& pool, const Tensor& w,
                              const Tensor& bias, const Tensor& packed) {
  KILN_CHECK(conv2d_relu_maxpool_supported(shape, pool));
  const std::int64_t count = conv2d_relu_maxpool_packed_count(shape, pool);
  KILN_CHECK(w.shape() == shape.weights() && w.device().is_host());
  KILN_CHECK(bias.empty() || (bias.shape() == Shape{shape.k} && bias.device().is_host()));
  KILN_CHECK(packed.shape() == Shape{count} && packed.device().is_host());
  const cpu::ConvPoolExtents e = cpu::extents_of(shape, pool);
  std::vector<float> all(
      static_cast<std::size_t>(count + KILN_CALL_ISA(conv_pool_pack_scratch_floats(e))));
  KILN_CALL_ISA(conv_pool_pack(e, w.data<float>(), cpu::floats_or_null(bias), all.data()));
  std::copy_n(all.data(), count, packed.data<float>());
}

}  // namespace kiln
