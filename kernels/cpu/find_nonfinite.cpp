#include "kernels/include/find_nonfinite.h"

#include <cmath>

#include "kernels/common/converted.h"

namespace kiln::cpu {

// One thread: only devices scale their loss, so no training on the CPU calls this.
void find_nonfinite(Context&, const FindNonfiniteArgs& a) {
  visit_storage(a.x.dtype(), [&](auto zero) {
    for (const auto x : a.x.elements<const decltype(zero)>())
      if (!std::isfinite(converted<double>(x))) a.flag.data<float>()[0] = 1;
  });
}

}  // namespace kiln::cpu
