#include "kernels/include/conv2d_relu_maxpool.h"
#include "kernels/include/conv2d_relu_maxpool_grad.h"

namespace kiln {
namespace {

// Above these the sums are long enough for a general convolution to reach the peak, and the
// per-thread images of the fused op would not stay in the second-level cache.
constexpr std::int64_t kMaxRowProducts = 128;        // S * C
constexpr std::int64_t kMaxFilters = 64;             // K
constexpr std::int64_t kMaxImageElements = 1 << 16;  // of one padded image

void check_supported(const Conv2dShape& shape, const Pool2dShape& pool, DType dtype) {
  if (dtype != DType::f32 && dtype != DType::f64)
    throw Error(ErrorKind::unsupported, "conv2d_relu_maxpool of " + std::string(name_of(dtype)),
                "is not supported", "use f32 or f64");
  if (!conv2d_relu_maxpool_supported(shape, pool))
    throw Error(ErrorKind::unsupported, "fused convolution and pooling " + to_string(shape),
                "is not supported", "use conv2d, relu and maxpool one by one");
}

// Either w, with or without a bias, or packed, and that only for f32.
void check_filters(const Conv2dReluMaxpoolArgs& a) {
  if (a.packed.empty()) {
    check_tensor(a.w, a.shape.weights(), a.x);
    if (!a.bias.empty()) check_tensor(a.bias, {a.shape.k}, a.x);
    return;
  }
  KILN_CHECK(a.w.empty() && a.bias.empty() && a.x.dtype() == DType::f32);
  check_tensor(a.packed, {conv2d_relu_maxpool_packed_count(a.shape, a.pool)}, a.x);
}

void check_index(const Tensor& index, const Shape& shape, const Tensor& like) {
  KILN_CHECK(!index.empty() && index.shape() == shape);
  KILN_CHECK(index.dtype() == DType::u8 && index.device() == like.device());
}

}  // namespace

bool conv2d_relu_maxpool_supported(const Conv2dShape& s, const Pool2dShape& pool) {
  const bool conv = s.n > 0 && s.h > 0 && s.w > 0 && s.c > 0 && s.k > 0 && s.k <= kMaxFilters &&
                    s.r >= 1 && s.r <= 7 && s.s >= 1 && s.s <= 7 && s.stride_h == 1 &&
                    s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 && s.groups == 1 &&
                    s.pad_h >= 0 && s.pad_h < s.r && s.pad_w >= 0 && s.pad_w < s.s;
  if (!conv || s.p() < 2 || s.q() < 2) return false;
  const Pool2dShape expected{.n = s.n, .h = s.p(), .w = s.q(), .c = s.k};
  // One division at a time: extents out of a hostile file must not overflow a product.
  const std::int64_t rows = s.h + 2 * s.pad_h, columns = s.w + 2 * s.pad_w;
  const bool small = s.c <= kMaxRowProducts / s.s && rows <= kMaxImageElements / s.c &&
                     columns <= kMaxImageElements / s.c / rows;
  return pool == expected && small;
}

void check(const Conv2dReluMaxpoolArgs& a) {
  check_supported(a.shape, a.pool, a.x.dtype());
  check_tensor(a.x, a.shape.input(), a.x);
  check_filters(a);
  check_tensor(a.y, a.pool.output(), a.x);
  if (!a.index.empty()) check_index(a.index, a.pool.output(), a.x);
}

void check(const Conv2dReluMaxpoolGradArgs& a) {
  check_supported(a.shape, a.pool, a.x.dtype());
  check_tensor(a.x, a.shape.input(), a.x);
  check_tensor(a.w, a.shape.weights(), a.x);
  check_tensor(a.y, a.pool.output(), a.x);
  check_index(a.index, a.pool.output(), a.x);
  check_tensor(a.dy, a.pool.output(), a.x);
  check_tensor(a.dw, a.shape.weights(), a.x);
  if (a.wants_dx()) check_tensor(a.dx, a.shape.input(), a.x);
  if (!a.dbias.empty()) check_tensor(a.dbias, {a.shape.k}, a.x);
}

}  // namespace kiln
