#include "kernels/include/find_nonfinite.h"

#include <cmath>

namespace kiln::cpu {

// One thread: only devices scale their loss, so no training on the CPU calls this.
void find_nonfinite(Context&, const FindNonfiniteArgs& a) {
  visit_float(a.x.dtype(), [&](auto zero) {
    for (const auto x : a.x.elements<const decltype(zero)>())
      if (!std::isfinite(x)) a.flag.data<float>()[0] = 1;
  });
}

}  // namespace kiln::cpu
