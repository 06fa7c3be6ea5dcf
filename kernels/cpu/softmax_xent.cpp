#include "kernels/include/softmax_xent.h"

#include <cmath>
#include <string>

#include "kernels/common/ranges.h"
#include "kernels/cpu/softmax_simd.h"
#include "kernels/include/loss_scale_update.h"

namespace kiln {

void check(const SoftmaxXentArgs& a) {
  constexpr std::string_view kOp = "softmax_xent";
  a.z.device().is_host() ? require_wide(kOp, "z", a.z) : require_float(kOp, "z", a.z);
  require(a.z.shape().rank() == 2 && a.z.shape()[1] >= 1, kOp,
          "z must be [rows, classes] with at least one class");
  const Shape rows{a.z.shape()[0]};
  require_tensor(kOp, "t", a.t, rows, DType::i32, a.z.device());
  require_tensor(kOp, "loss", a.loss, rows, accumulation_type(a.z.dtype()), a.z.device());
  require_tensor(kOp, "hit", a.hit, rows, DType::i32, a.z.device());
  if (!a.dz.empty()) require_alike(kOp, {"z", a.z}, {{"dz", a.dz}});
  if (!a.loss_scale.empty()) {
    require(!a.z.device().is_host(), kOp, "the CPU scales no loss");
    require_tensor(kOp, "loss_scale", a.loss_scale, {kLossScaleSize}, DType::f32, a.z.device());
  }
  require(a.label_smoothing >= 0 && a.label_smoothing <= 1, kOp,
          "label_smoothing must lie in [0, 1]");
  if (a.z.device().type != DeviceType::cpu) return;
  for (const std::int32_t label : a.t.elements<std::int32_t>())
    if (label < 0 || label >= a.z.shape()[1])
      refuse(kOp, "label " + std::to_string(label) + " is outside 0 to " +
                      std::to_string(a.z.shape()[1] - 1));
}

namespace cpu {
namespace {

void row_f64(const SoftmaxXentArgs& a, std::int64_t n) {
  const std::int64_t classes = a.z.shape()[1];
  const double* z = a.z.data<double>() + n * classes;
  const std::int32_t label = a.t.data<std::int32_t>()[n];
  std::int64_t best = 0;
  bool ordered = z[0] == z[0];
  for (std::int64_t k = 1; k < classes; ++k) {
    if (z[k] > z[best]) best = k;
    ordered = ordered && z[k] == z[k];
  }
  const double largest = z[best];
  double total = 0, sum = 0;
  for (std::int64_t k = 0; k < classes; ++k) {
    const double shifted = z[k] - largest;
    total += std::exp(shifted);
    sum += shifted;
  }
  const double log_total = std::log(total);
  const double spread = a.label_smoothing / static_cast<double>(classes);
  const double target = z[label] - largest - log_total;
  double loss = -(1 - a.label_smoothing) * target;
  if (a.label_smoothing != 0) loss -= spread * (sum - static_cast<double>(classes) * log_total);
  a.loss.data<double>()[n] = loss;
  a.hit.data<std::int32_t>()[n] = ordered && best == label ? 1 : 0;
  if (a.dz.empty()) return;
  double* dz = a.dz.data<double>() + n * classes;
  for (std::int64_t k = 0; k < classes; ++k) {
    const double p = std::exp(z[k] - largest) / total;
    const double q = spread + (k == label ? 1 - a.label_smoothing : 0);
    dz[k] = a.scale * (p - q);
  }
}

XentJob xent_job(const SoftmaxXentArgs& a) {
  return {.z = a.z.data<float>(),
          .t = a.t.data<std::int32_t>(),
          .loss = a.loss.data<float>(),
          .hit = a.hit.data<std::int32_t>(),
          .dz = a.dz.empty() ? nullptr : a.dz.data<float>(),
          .classes = a.z.shape()[1],
          .label_smoothing = a.label_smoothing,
          .scale = a.scale};
}

}  // namespace

void softmax_xent(Context& c, const SoftmaxXentArgs& a) {
  map_ranges(c, a.z.shape()[0], kMapGrain / (8 * a.z.shape()[1]) + 1, 1, [&](Range range) {
    if (a.z.dtype() == DType::f32) {
      KILN_CALL_ISA(softmax_xent_rows_f32(xent_job(a), range.begin, range.end));
      return;
    }
    for (std::int64_t n = range.begin; n < range.end; ++n) row_f64(a, n);
  });
}

}  // namespace cpu
}  // namespace kiln
