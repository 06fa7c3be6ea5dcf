#include "engine/train/lookahead.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/planned_buffer.h"
#include "kernels/common/ranges.h"

namespace kiln {

Lookahead::Lookahead(const LookaheadOptions& options, const ParameterStore& parameters)
    : options_(options) {
  if (options.interval < 1 || !(options.decay >= 0.0 && options.decay <= 1.0))
    throw Error(ErrorKind::usage, "--lookahead", "needs an interval of 1 or more, a decay 0 to 1");
  const Device device = parameters.flat_values().device();
  if (!device.is_host())
    throw Error(ErrorKind::unsupported, to_string(device), "has no --lookahead yet",
                "use --device cpu, or --lookahead 0");
  for (const Parameter& p : parameters.all()) {
    if (!p.trainable() && !p.is_statistic()) continue;
    Buffer home = planned_buffer("averages of the parameters", device, p.value.size_bytes());
    const Tensor value(home.data(), p.shape, p.value.dtype(), device);
    std::memcpy(value.raw(), p.value.raw(), value.size_bytes());
    averages_.push_back({&p, std::move(home), value});
  }
}

bool Lookahead::after_step(Context& c, std::int64_t taken, std::int64_t total) {
  const bool due = taken % options_.interval == 0;
  const double done = static_cast<double>(taken) / static_cast<double>(total);
  if (due) blend(c, std::pow(options_.decay, options_.interval) * done * done * done);
  if (taken == total && !due) blend(c, 1.0);
  return due || taken == total;
}

// `weight` of the average, the rest of the value.
void Lookahead::blend(Context& c, double weight) const {
  for (const Average& a : averages_)
    visit_float(a.value.dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* average = a.value.data<T>();
      T* value = a.parameter->value.data<T>();
      const T rest = static_cast<T>(1.0 - weight);
      map_ranges(c, a.value.element_count(), kMapGrain, 16, [&](Range range) {
        for (std::int64_t i = range.begin; i < range.end; ++i)
          value[i] = average[i] = std::fma(rest, value[i] - average[i], average[i]);
      });
    });
}

Tensor Lookahead::average(const Parameter& parameter) const {
  const auto found =
      std::ranges::find(averages_, &parameter, [](const Average& a) { return a.parameter; });
  return found == averages_.end() ? Tensor{} : found->value;
}

}  // namespace kiln
