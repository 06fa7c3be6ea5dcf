// to = from * mask, or to += from * mask: the body of dropout and of its gradient.
#pragma once

#include "kernels/common/dropout_mask.h"
#include "kernels/common/op_check.h"

namespace kiln {

void require_dropout(std::string_view op, const Tensor& x, double p, bool channel,
                     std::uint64_t step, std::uint32_t layer_id);

namespace cpu {

struct DropoutJob {
  Tensor from, to;
  DropoutMask mask;
  bool channel = false;
  bool add = false;
};
void apply_dropout(Context& c, const DropoutJob& job);

}  // namespace cpu
}  // namespace kiln
