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

Isa capped() {
  const char* wanted = std::getenv("KILN_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return best_supported();
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (name_of(isa) == wanted) return std::min(isa, best_supported());
  throw Error(ErrorKind::usage, "KILN_CPU_ISA=" + printable(wanted), "is no instruction set",
              "use baseline, avx2 or avx512");
}

}  // namespace

Isa isa() {
  static const Isa chosen = capped();
  return chosen;
}

bool splits_512_bits() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel") == 0;
#else
  return true;
#endif
}

}  // namespace kiln::cpu
