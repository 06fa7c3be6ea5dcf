#include "kernels/include/record_loss.h"

#include <cmath>

namespace kiln {

void check(const RecordLossArgs& a) {
  constexpr std::string_view kOp = "record_loss";
  require_wide(kOp, "loss", a.loss);
  require(a.loss.shape().rank() == 1, kOp, "loss is [N]");
  require_tensor(kOp, "hit", a.hit, a.loss.shape(), DType::i32, a.loss.device());
  require(a.state != nullptr && a.log != nullptr && a.log_size >= 1, kOp,
          "needs a state and a log");
}

namespace cpu {
namespace {

constexpr int kParts = 32;

template <class Sum, class T>
Sum sum_in_parts(const T* from, std::int64_t count) {
  Sum parts[kParts] = {};
  for (std::int64_t n = 0; n < count; ++n) parts[n % kParts] += static_cast<Sum>(from[n]);
  for (int apart = kParts / 2; apart > 0; apart /= 2)
    for (int l = 0; l < apart; ++l) parts[l] += parts[l + apart];
  return parts[0];
}

}  // namespace

void record_loss(Context&, const RecordLossArgs& a) {
  if (a.state->halted != 0) return;
  const std::int64_t count = a.loss.element_count();
  const double sum = visit_float(a.loss.dtype(), [&](auto zero) {
    return sum_in_parts<double>(a.loss.data<decltype(zero)>(), count);
  });
  a.log[a.state->step % static_cast<std::uint64_t>(a.log_size)] = {
      .step = a.state->step,
      .loss_sum = sum,
      .hit_count = sum_in_parts<std::int64_t>(a.hit.data<std::int32_t>(), count)};
  if (!std::isfinite(sum)) a.state->halted = 1;
}

}  // namespace cpu
}  // namespace kiln
