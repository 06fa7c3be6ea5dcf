// When Winograd's algorithm computes a convolution: the rule behind --conv-algorithm, measured in
// docs/decisions.md.
#pragma once

#include "kernels/include/conv2d_provider.h"

namespace kiln::cpu {

// The static server leaves it out: the transforms of three instruction sets would be 100 KB.
#ifdef KILN_WITHOUT_CPU_WINOGRAD
inline constexpr bool kHasWinograd = false;
#else
inline constexpr bool kHasWinograd = true;
#endif

// Whether the algorithm is made for the shape: 3x3, stride 1, no dilation, one group.
bool winograd_takes(const Conv2dShape& shape);

// Of a problem whose batch is known.
bool uses_winograd(const Conv2dProblem& problem, CpuConv2dAlgorithm algorithm);

// Whatever the batch, of shapes that it takes: where one picture alone has tiles enough.
bool winograd_pays_for_any_batch(const Conv2dShape& shape);

}  // namespace kiln::cpu
