#include "engine/train/exact_sum.h"

#include <algorithm>
#include <cstring>

#include "engine/core/check.h"
#include "kernels/include/accumulate.h"
#include "kernels/include/cast.h"

namespace kiln {

ExactSum::ExactSum(const ParameterStore& parameters, int thread_count)
    : shape_(parameters.flat_gradients().shape()),
      written_(static_cast<std::size_t>(thread_count)) {
  KILN_CHECK(parameters.flat_gradients().dtype() == DType::f32);
  for (int i = 0; i < thread_count; ++i)
    parts_.emplace_back(Device{}, 2 * parameters.flat_gradients().size_bytes());
}

Tensor ExactSum::part(int thread) const {
  return {parts_[static_cast<std::size_t>(thread)].data(), shape_, DType::f64, Device{}};
}

void ExactSum::clear() { std::ranges::fill(written_, 0); }

// A thread clears its own part, which then lies in its own cache.
void ExactSum::add(Context& own, int thread, const Tensor& gradients) {
  const Tensor sum = part(thread);
  if (written_[static_cast<std::size_t>(thread)] == 0) std::memset(sum.raw(), 0, sum.size_bytes());
  written_[static_cast<std::size_t>(thread)] = 1;
  accumulate(own, {.x = gradients, .y = sum, .grid = kGrid});
}

void ExactSum::add_threads(Context& c) {
  const Tensor sum = total();
  if (written_[0] == 0) std::memset(sum.raw(), 0, sum.size_bytes());
  for (std::size_t thread = 1; thread < parts_.size(); ++thread)
    if (written_[thread] != 0) accumulate(c, {.x = part(static_cast<int>(thread)), .y = sum});
}

void ExactSum::write(Context& c, const Tensor& gradients) {
  cast(c, {.x = total(), .y = gradients});
}

}  // namespace kiln
