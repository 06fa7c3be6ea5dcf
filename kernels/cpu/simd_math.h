// exp for the vector of one instruction set. For files compiled by kiln_simd_sources only.
#pragma once

#include "kernels/cpu/simd_map.h"

namespace kiln::cpu::KILN_ISA {

// e^x for x <= 88, within 1.5 ulp of each result down to the smallest normal number; below -110 it
// is 0 and NaN stays NaN. x = n ln 2 + r with |r| <= (ln 2) / 2; ln 2 has two parts, the first of
// which n multiplies exactly. Polynomial of e^r: Cephes, expf. 2^n is multiplied in two halves so
// that results below the normal numbers lose digits instead of becoming 0.
inline Vec exp_of(Vec x) {
  x = x < broadcast(-110.0f) ? broadcast(-110.0f) : x;
  const Vec magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = fmadd(x, broadcast(1.44269504088896341f), magic) - magic;
  Vec r = fmadd(n, broadcast(-0.693359375f), x);
  r = fmadd(n, broadcast(2.12194440e-4f), r);
  Vec p = fmadd(broadcast(1.9875691500e-4f), r, broadcast(1.3981999507e-3f));
  p = fmadd(p, r, broadcast(8.3334519073e-3f));
  p = fmadd(p, r, broadcast(4.1665795894e-2f));
  p = fmadd(p, r, broadcast(1.6666665459e-1f));
  p = fmadd(p, r, broadcast(5.0000001201e-1f));
  p = fmadd(p * r, r, r) + 1.0f;
  const IntVec whole = __builtin_convertvector(n, IntVec);
  const IntVec half = whole >> 1;
  const auto power = [](IntVec exponent) { return reinterpret_cast<Vec>((exponent + 127) << 23); };
  return p * power(half) * power(whole - half);
}

}  // namespace kiln::cpu::KILN_ISA
