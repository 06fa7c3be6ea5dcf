// dropout: drops elements, or whole channels of pictures, with probability p.
//
//   y = x * m,   m = 0 with probability p, else 1 / (1 - p)        (p = 1: all 0)
//
// The mask is a pure function of (seed, epoch, step, layer_id, unit), where a unit is an element or
// with `channel` a pair (n, c); dropout_grad computes it again (kernels/common/dropout_mask.h).
// A dropped NaN or infinity gives NaN: the product is formed.
//
// Shapes    x, y: floating, any one shape; [N,H,W,C] with `channel`. 0 <= p <= 1.
// Aliasing  y may be x; any other overlap is an error.
// Source    docs/math.md, "Dropout"; Srivastava et al., JMLR 15 (2014); channels after Tompson et
//           al., arXiv 1411.4280.
#pragma once

#include <cstdint>

#include "kernels/common/op_check.h"

namespace kiln {

struct DropoutArgs {
  Tensor x, y;
  double p = 0.5;
  bool channel = false;
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t step = 0;      // below 2^48
  std::uint32_t layer_id = 0;  // below 2^16; two dropout layers of a network differ in it
  // On a device, or null: where seed, epoch and step come from instead.
  const StepState* state = nullptr;
};

void check(const DropoutArgs& a);

namespace cpu {
void dropout(Context&, const DropoutArgs&);
}

inline void dropout(Context& c, const DropoutArgs& a) {
  check(a);
  on_device(c, Op::dropout, a, cpu::dropout);
}

}  // namespace kiln
