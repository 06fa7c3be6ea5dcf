// The provider behind --conv-algorithm measure: of the ways that take a problem, the one that is
// the fastest here, timed once for each shape and kept on the disk (kernels/common/plan_choice.h).
//
// A kept choice makes equal seeds equal bits on this machine; where none can be kept, and under
// --deterministic, the rule's choice holds.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels/common/plan_cache.h"
#include "kernels/include/conv2d_provider.h"

namespace kiln::cpu {

// `ways`: by the rule first. What takes a problem under the name of an earlier one is not asked.
// `log` must outlive the provider.
std::unique_ptr<Conv2dProvider> make_measured_conv2d_provider(
    std::vector<std::unique_ptr<Conv2dProvider>> ways, std::optional<Path> cache_folder, Log& log);

}  // namespace kiln::cpu
