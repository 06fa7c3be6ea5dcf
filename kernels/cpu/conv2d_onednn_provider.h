// The provider of oneDNN's convolutions: loads libkiln_onednn.so on the first f32 problem that is
// oneDNN's to compute, and takes nothing where the plug-in is absent.
//
// kiln's threads divide the batch; each runs a primitive of its own on one thread. Weights are
// brought into oneDNN's layout once per call. The gradient of the weights is one partial per
// reduction part, added in order by kiln, so that its bits depend on the number of parts alone.
#pragma once

#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln::cpu {

// `log` must outlive the provider.
std::unique_ptr<Conv2dProvider> make_onednn_conv2d_provider(Log& log, CpuConv2dChoice choice);

// Whether automatic choice gives this pass of the problem to oneDNN; the rule of
// docs/decisions.md.
bool onednn_wins(const Conv2dProblem& problem);

}  // namespace kiln::cpu
