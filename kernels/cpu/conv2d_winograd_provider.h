// The provider of our own Winograd kernels (kernels/cpu/conv2d_winograd.h).
#pragma once

#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln::cpu {

// Whether Winograd's algorithm computes the problem: the rule behind --conv-algorithm, measured in
// docs/decisions.md.
bool uses_winograd(const Conv2dProblem& problem, CpuConv2dAlgorithm algorithm);

std::unique_ptr<Conv2dProvider> make_winograd_conv2d_provider(CpuConv2dAlgorithm algorithm);

}  // namespace kiln::cpu
