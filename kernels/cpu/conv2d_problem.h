// What the CPU's own providers read out of a Conv2dProblem.
#pragma once

#include <algorithm>

#include "engine/core/error.h"
#include "kernels/include/conv2d_provider.h"

namespace kiln::cpu {

// reduction_parts(N) of the context that will run the problem.
inline int parts_of(const Conv2dProblem& problem) {
  const int parts = problem.deterministic ? Context::kDeterministicParts : problem.thread_count;
  return static_cast<int>(std::clamp<std::int64_t>(problem.shape.n, 1, parts));
}

inline void check_context(const Conv2dProblem& problem, const Context& context) {
  KILN_CHECK(context.pool().thread_count() == problem.thread_count);
  KILN_CHECK(context.deterministic() == problem.deterministic);
}

}  // namespace kiln::cpu
