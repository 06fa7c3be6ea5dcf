#include "kernels/cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "engine/core/error.h"

namespace kiln::cpu {
namespace {

Isa best_supported() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  if (avx512) return Isa::avx512;
  if (avx2) return Isa::avx2;
#endif
  return Isa::baseline;
}

bool supports_bf16_dots() {
#if defined(__x86_64__) && defined(KILN_HAVE_AVX512_BF16)
  return best_supported() == Isa::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

// Not on Intel's: on a Sapphire Rapids without AMX, the only core measured, a vdpbf16ps made fewer
// products a second than f32 FMAs (docs/decisions.md, "bf16 on the CPU"), and the rule takes that
// for all of them. By its tables, not measured, Zen 4 starts as many of them as of FMAs, each with
// twice the products.
bool bf16_dots_are_fast() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel") == 0;
#else
  return false;
#endif
}

struct Level {
  Isa isa;
  bool bf16_dots;
};

Level capped() {
  const Level best{best_supported(), supports_bf16_dots() && bf16_dots_are_fast()};
  const char* wanted = std::getenv("KILN_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return best;
  if (std::string(wanted) == "avx512_bf16") return {best.isa, supports_bf16_dots()};
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (name_of(isa) == wanted) return {std::min(isa, best.isa), false};
  throw Error(ErrorKind::usage, "KILN_CPU_ISA=" + printable(wanted), "is no instruction set",
              "use baseline, avx2, avx512 or avx512_bf16");
}

const Level& level() {
  static const Level chosen = capped();
  return chosen;
}

}  // namespace

Isa isa() { return level().isa; }

bool has_bf16_dots() { return level().bf16_dots; }

bool splits_512_bits() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel") == 0;
#else
  return true;
#endif
}

}  // namespace kiln::cpu
