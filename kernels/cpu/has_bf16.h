// Whether this build computes in bf16 on the CPU. The static server leaves it out: it serves f32,
// and the bodies of three instruction sets would be 700 KB.
#pragma once

#include "engine/core/dtype.h"

namespace kiln::cpu {

#ifdef KILN_WITHOUT_CPU_BF16
inline constexpr bool kHasBf16 = false;
#else
inline constexpr bool kHasBf16 = true;
#endif

constexpr bool computes_bf16(DType dtype) { return kHasBf16 && dtype == DType::bf16; }

}  // namespace kiln::cpu
