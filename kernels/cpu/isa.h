// The instruction sets that the vectorised kernels are compiled for, and the one in use.
#pragma once

#include <string_view>

namespace kiln::cpu {

enum class Isa { baseline, avx2, avx512 };

constexpr std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return "baseline";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

// The best level that this CPU and this build have, capped by KILN_CPU_ISA (baseline, avx2, avx512
// or avx512_bf16) where that is set. Constant through the life of the process. Throws Error (usage)
// for an unknown name in the variable.
Isa isa();

// Whether bf16 is to be multiplied by dot products of pairs (AVX-512 BF16): where the processor has
// them and they are faster than f32, which on Intel's they are not, or KILN_CPU_ISA=avx512_bf16
// asks for them. What kiln_bf16_dot_sources compiles may then be called.
bool has_bf16_dots();

// Whether this core takes 512-bit loads for two of 256 bits, as Zen 4 does: where a kernel can use
// either width, halves are then no slower and cross fewer cache lines. Intel's cores take them
// whole; of the others nothing is known, and they count as splitting.
bool splits_512_bits();

}  // namespace kiln::cpu

// Calls the copy of `function` that was compiled for the level in use:
//   KILN_CALL_ISA(relu(x, y, count));
#if defined(__x86_64__)
#define KILN_CALL_ISA(call)                                                   \
  (::kiln::cpu::isa() == ::kiln::cpu::Isa::avx512 ? ::kiln::cpu::avx512::call \
   : ::kiln::cpu::isa() == ::kiln::cpu::Isa::avx2 ? ::kiln::cpu::avx2::call   \
                                                  : ::kiln::cpu::baseline::call)
// Declares `declaration` once in the namespace of every level.
#define KILN_DECLARE_ISA(declaration) \
  namespace kiln::cpu::baseline {     \
  declaration                         \
  }                                   \
  namespace kiln::cpu::avx2 {         \
  declaration                         \
  }                                   \
  namespace kiln::cpu::avx512 {       \
  declaration                         \
  }
#else
#define KILN_CALL_ISA(call) (::kiln::cpu::baseline::call)
#define KILN_DECLARE_ISA(declaration) \
  namespace kiln::cpu::baseline {     \
  declaration                         \
  }
#endif
