#include "kernels/include/avgpool.h"

#include "kernels/common/pool_check.h"
#include "kernels/common/pool_window.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pool_job.h"

namespace kiln {

void check(const AvgpoolArgs& a) {
  require_float("avgpool", "x", a.x);
  require_pool_shape("avgpool", a.shape);
  require_tensor("avgpool", "x", a.x, a.shape.input(), a.x.dtype(), a.x.device());
  require_tensor("avgpool", "y", a.y, a.shape.output(), a.x.dtype(), a.x.device());
}

namespace cpu {
namespace {

// f64: one output row (n, p). The channel loop is innermost: NHWC keeps it contiguous.
void pool_row(const AvgpoolArgs& a, std::int64_t p, const double* x, double* y) {
  const Pool2dShape& s = a.shape;
  const WindowTaps rows = row_taps(s, p);
  for (std::int64_t q = 0; q < s.q(); ++q, y += s.c) {
    const WindowTaps columns = column_taps(s, q);
    for (std::int64_t c = 0; c < s.c; ++c) y[c] = 0;
    for (std::int64_t i = rows.begin; i < rows.end; ++i)
      for (std::int64_t j = columns.begin; j < columns.end; ++j) {
        const double* pixel = x + ((rows.start + i) * s.w + columns.start + j) * s.c;
        for (std::int64_t c = 0; c < s.c; ++c) y[c] += pixel[c];
      }
    const double scale = 1 / static_cast<double>(window_divisor(s, p, q, a.count_include_pad));
    for (std::int64_t c = 0; c < s.c; ++c) y[c] *= scale;
  }
}

}  // namespace

void avgpool(Context& c, const AvgpoolArgs& a) {
  const Pool2dShape& s = a.shape;
  const std::int64_t row_count = s.q() * s.c;
  map_ranges(c, s.n * s.p(), kMapGrain / (row_count * s.r * s.s) + 1, 1, [&](Range range) {
    if (visit_vectorised(a.x.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(avgpool_rows(pool_job(s, a.count_include_pad), a.x.data<T>(), a.y.data<T>(),
                                     range.begin, range.end));
        }))
      return;
    for (std::int64_t row = range.begin; row < range.end; ++row)
      pool_row(a, row % s.p(), a.x.data<double>() + row / s.p() * s.h * s.w * s.c,
               a.y.data<double>() + row * row_count);
  });
}

}  // namespace cpu
}  // namespace kiln
