#include "kernels/include/avgpool_grad.h"

#include <cstring>

#include "kernels/common/pool_check.h"
#include "kernels/common/pool_window.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pool_job.h"

namespace kiln {

void check(const AvgpoolGradArgs& a) {
  require_float("avgpool_grad", "dy", a.dy);
  require_pool_shape("avgpool_grad", a.shape);
  require_tensor("avgpool_grad", "dy", a.dy, a.shape.output(), a.dy.dtype(), a.dy.device());
  if (a.mode != GradWrite::skip)
    require_tensor("avgpool_grad", "dx", a.dx, a.shape.input(), a.dy.dtype(), a.dy.device());
}

namespace cpu {
namespace {

// f64: one picture, by one thread: windows may overlap.
void spread_picture(const AvgpoolGradArgs& a, const double* dy, double* dx) {
  const Pool2dShape& s = a.shape;
  for (std::int64_t p = 0; p < s.p(); ++p)
    for (std::int64_t q = 0; q < s.q(); ++q, dy += s.c) {
      const WindowTaps rows = row_taps(s, p), columns = column_taps(s, q);
      const double scale = 1 / static_cast<double>(window_divisor(s, p, q, a.count_include_pad));
      for (std::int64_t i = rows.begin; i < rows.end; ++i)
        for (std::int64_t j = columns.begin; j < columns.end; ++j) {
          double* pixel = dx + ((rows.start + i) * s.w + columns.start + j) * s.c;
          for (std::int64_t c = 0; c < s.c; ++c) pixel[c] += dy[c] * scale;
        }
    }
}

void spread_f64(Context& c, const AvgpoolGradArgs& a) {
  const Pool2dShape& s = a.shape;
  const std::int64_t in = s.h * s.w * s.c, out = s.p() * s.q() * s.c;
  map_ranges(c, s.n, kMapGrain / in + 1, 1, [&](Range range) {
    for (std::int64_t n = range.begin; n < range.end; ++n) {
      double* dx = a.dx.data<double>() + n * in;
      if (a.mode == GradWrite::overwrite)
        std::memset(dx, 0, static_cast<std::size_t>(in) * sizeof(double));
      spread_picture(a, a.dy.data<double>() + n * out, dx);
    }
  });
}

}  // namespace

void avgpool_grad(Context& c, const AvgpoolGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  if (a.dy.dtype() == DType::f64) return spread_f64(c, a);
  const Pool2dShape& s = a.shape;
  map_ranges(c, s.n * s.h, kMapGrain / (s.w * s.c) + 1, 1, [&](Range range) {
    visit_vectorised(a.dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      KILN_CALL_ISA(avgpool_grad_rows(pool_job(s, a.count_include_pad), a.dy.data<T>(),
                                      a.dx.data<T>(), range.begin, range.end,
                                      a.mode == GradWrite::accumulate));
    });
  });
}

}  // namespace cpu
}  // namespace kiln
