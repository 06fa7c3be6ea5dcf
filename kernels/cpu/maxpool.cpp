#include "kernels/include/maxpool.h"

#include <limits>

#include "kernels/common/pool_check.h"
#include "kernels/common/pool_window.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pool_job.h"

namespace kiln {

void check(const MaxpoolArgs& a) {
  require_float("maxpool", "x", a.x);
  require_pool_shape("maxpool", a.shape);
  require(a.shape.r * a.shape.s <= 256, "maxpool", "the window has more than 256 places");
  const Device device = a.x.device();
  require_tensor("maxpool", "x", a.x, a.shape.input(), a.x.dtype(), device);
  require_tensor("maxpool", "y", a.y, a.shape.output(), a.x.dtype(), device);
  if (!a.index.empty())
    require_tensor("maxpool", "index", a.index, a.shape.output(), DType::u8, device);
}

namespace cpu {
namespace {

// f64: one output row (n, p); for every column the window is walked in row-major order.
void pool_row(const Pool2dShape& s, std::int64_t p, const double* x, double* y,
              std::uint8_t* index) {
  const WindowTaps rows = row_taps(s, p);
  for (std::int64_t q = 0; q < s.q(); ++q) {
    const WindowTaps columns = column_taps(s, q);
    for (std::int64_t c = 0; c < s.c; ++c) {
      double best = -std::numeric_limits<double>::infinity();
      std::int64_t winner = rows.begin * s.s + columns.begin;
      for (std::int64_t i = rows.begin; i < rows.end; ++i)
        for (std::int64_t j = columns.begin; j < columns.end; ++j) {
          const double value = x[((rows.start + i) * s.w + columns.start + j) * s.c + c];
          if (value > best || value != value) {
            best = value;
            winner = i * s.s + j;
          }
        }
      y[q * s.c + c] = best;
      if (index != nullptr) index[q * s.c + c] = static_cast<std::uint8_t>(winner);
    }
  }
}

}  // namespace

void maxpool(Context& c, const MaxpoolArgs& a) {
  const Pool2dShape& s = a.shape;
  std::uint8_t* index = a.index.empty() ? nullptr : a.index.data<std::uint8_t>();
  const std::int64_t row_count = s.q() * s.c;
  map_ranges(c, s.n * s.p(), kMapGrain / (row_count * s.r * s.s) + 1, 1, [&](Range range) {
    if (visit_vectorised(a.x.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(maxpool_rows(pool_job(s), static_cast<const T*>(a.x.data<T>()),
                                     a.y.data<T>(), index, range.begin, range.end));
        }))
      return;
    for (std::int64_t row = range.begin; row < range.end; ++row)
      pool_row(s, row % s.p(), a.x.data<double>() + row / s.p() * s.h * s.w * s.c,
               a.y.data<double>() + row * row_count,
               index == nullptr ? nullptr : index + row * row_count);
  });
}

}  // namespace cpu
}  // namespace kiln
