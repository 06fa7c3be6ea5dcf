// accumulate: y += x, elementwise.
//
// Shapes    x, y: floating, any one shape.
// Aliasing  y may be x (which doubles it); any other overlap is an error.
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct AccumulateArgs {
  Tensor x, y;
};

inline void check(const AccumulateArgs& a) {
  require_alike("accumulate", {"x", a.x}, {{"y", a.y}});
}

namespace cpu {
void accumulate(Context&, const AccumulateArgs&);
}

inline void accumulate(Context& c, const AccumulateArgs& a) {
  check(a);
  on_device(c, Op::accumulate, a, cpu::accumulate);
}

}  // namespace kiln
