// Bytes to and from the lanes of an IntVec. For files compiled by kiln_simd_sources only.
#pragma once

#include "kernels/cpu/simd_map.h"

namespace kiln::cpu::KILN_ISA {

// The compilers turn a generic conversion into a chain of shuffles, hence the instructions by name.
inline IntVec load_bytes(AllLanes, const std::uint8_t* p) {
#if defined(KILN_ISA_avx512)
  return reinterpret_cast<IntVec>(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(KILN_ISA_avx2)
  return reinterpret_cast<IntVec>(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  IntVec v;
  for (int i = 0; i < kLanes; ++i) v[i] = p[i];
  return v;
#endif
}
KILN_SOME_LANES IntVec load_bytes(FirstLanes lanes, const std::uint8_t* p) {
#if defined(KILN_ISA_avx512)
  const auto mask = static_cast<__mmask16>((1u << lanes.count) - 1u);
  return reinterpret_cast<IntVec>(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, p)));
#else
  IntVec v{};
  for (int i = 0; i < lanes.count; ++i) v[i] = p[i];
  return v;
#endif
}
// The lowest byte of every lane.
inline void store_bytes(AllLanes, std::uint8_t* p, IntVec v) {
#if defined(KILN_ISA_avx512)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(v)));
#else
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
#endif
}
KILN_SOME_LANES void store_bytes(FirstLanes lanes, std::uint8_t* p, IntVec v) {
#if defined(KILN_ISA_avx512)
  const auto mask = static_cast<__mmask16>((1u << lanes.count) - 1u);
  _mm512_mask_cvtepi32_storeu_epi8(p, mask, reinterpret_cast<__m512i>(v));
#else
  for (int i = 0; i < lanes.count; ++i) p[i] = static_cast<std::uint8_t>(v[i]);
#endif
}

}  // namespace kiln::cpu::KILN_ISA
