#include "kernels/include/maxpool_grad.h"

#include <cstring>

#include "kernels/common/pool_check.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pool_job.h"

namespace kiln {

void check(const MaxpoolGradArgs& a) {
  require_float("maxpool_grad", "dy", a.dy);
  require_pool_shape("maxpool_grad", a.shape);
  const Device device = a.dy.device();
  require_tensor("maxpool_grad", "dy", a.dy, a.shape.output(), a.dy.dtype(), device);
  require_tensor("maxpool_grad", "index", a.index, a.shape.output(), DType::u8, device);
  if (a.mode != GradWrite::skip)
    require_tensor("maxpool_grad", "dx", a.dx, a.shape.input(), a.dy.dtype(), device);
}

namespace cpu {
namespace {

// f64: one picture. Windows may overlap, so its outputs are walked by one thread in order.
void scatter_picture(const Pool2dShape& s, const std::uint8_t* index, const double* dy,
                     double* dx) {
  for (std::int64_t p = 0; p < s.p(); ++p)
    for (std::int64_t q = 0; q < s.q(); ++q)
      for (std::int64_t c = 0; c < s.c; ++c) {
        const std::int64_t output = (p * s.q() + q) * s.c + c;
        const std::int64_t h = p * s.stride_h - s.pad_h + index[output] / s.s;
        const std::int64_t w = q * s.stride_w - s.pad_w + index[output] % s.s;
        dx[(h * s.w + w) * s.c + c] += dy[output];
      }
}

void scatter_f64(Context& c, const MaxpoolGradArgs& a) {
  const Pool2dShape& s = a.shape;
  const std::int64_t in = s.h * s.w * s.c, out = s.p() * s.q() * s.c;
  map_ranges(c, s.n, kMapGrain / in + 1, 1, [&](Range range) {
    for (std::int64_t n = range.begin; n < range.end; ++n) {
      double* dx = a.dx.data<double>() + n * in;
      if (a.mode == GradWrite::overwrite)
        std::memset(dx, 0, static_cast<std::size_t>(in) * sizeof(double));
      scatter_picture(s, a.index.data<std::uint8_t>() + n * out, a.dy.data<double>() + n * out, dx);
    }
  });
}

}  // namespace

void maxpool_grad(Context& c, const MaxpoolGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  if (a.dy.dtype() == DType::f64) return scatter_f64(c, a);
  const Pool2dShape& s = a.shape;
  map_ranges(c, s.n * s.h, kMapGrain / (s.w * s.c) + 1, 1, [&](Range range) {
    visit_vectorised(a.dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      KILN_CALL_ISA(maxpool_grad_rows(pool_job(s), a.index.data<std::uint8_t>(), a.dy.data<T>(),
                                      a.dx.data<T>(), range.begin, range.end,
                                      a.mode == GradWrite::accumulate));
    });
  });
}

}  // namespace cpu
}  // namespace kiln
