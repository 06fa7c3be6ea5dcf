// bf16 in memory, f32 in the vector: loads widen, stores round to nearest, ties to even; NaN stays
// NaN and subnormal numbers stay what they are, the same bits on every level. For files compiled by
// kiln_simd_sources only.
#pragma once

#include "engine/core/half.h"
#include "kernels/cpu/simd.h"

namespace kiln::cpu::KILN_ISA {

using UnsignedVec = std::uint32_t __attribute__((vector_size(kLanes * 4)));

// The lower 16 bits of every lane are those of a bf16, the upper ones are zero.
inline UnsignedVec bf16_bits(Vec v) {
  const auto bits = reinterpret_cast<UnsignedVec>(v);
  const UnsignedVec nearest = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return v == v ? nearest : (bits >> 16 | 0x40u);
}
inline Vec of_bf16_bits(UnsignedVec bits) { return reinterpret_cast<Vec>(bits << 16); }

inline float widened(float value) { return value; }
inline float widened(BFloat16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

KILN_SOME_LANES Vec load_first(const BFloat16* p, int count) {
#if defined(KILN_ISA_avx512)
  const auto mask = static_cast<__mmask16>((1u << count) - 1u);
  return of_bf16_bits(
      reinterpret_cast<UnsignedVec>(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p))));
#else
  UnsignedVec bits{};
  for (int i = 0; i < count; ++i) bits[i] = p[i].bits;
  return of_bf16_bits(bits);
#endif
}
inline Vec load(const BFloat16* p) {
#if defined(KILN_ISA_avx512)
  return of_bf16_bits(reinterpret_cast<UnsignedVec>(
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))));
#elif defined(KILN_ISA_avx2)
  return of_bf16_bits(reinterpret_cast<UnsignedVec>(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))));
#else
  return load_first(p, kLanes);
#endif
}

KILN_SOME_LANES void store_first(BFloat16* p, Vec v, int count) {
  const UnsignedVec bits = bf16_bits(v);
#if defined(KILN_ISA_avx512)
  const auto mask = static_cast<__mmask16>((1u << count) - 1u);
  _mm512_mask_cvtepi32_storeu_epi16(p, mask, reinterpret_cast<__m512i>(bits));
#else
  for (int i = 0; i < count; ++i) p[i].bits = static_cast<std::uint16_t>(bits[i]);
#endif
}
#if defined(KILN_ISA_avx512)
inline __m256i bf16_of(Vec v) {
  return _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(bf16_bits(v)));
}
#elif defined(KILN_ISA_avx2)
inline __m128i bf16_of(Vec v) {
  const auto bits = reinterpret_cast<__m256i>(bf16_bits(v));
  return _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
}
#endif
inline void store(BFloat16* p, Vec v) {
#if defined(KILN_ISA_avx512)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bf16_of(v));
#elif defined(KILN_ISA_avx2)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bf16_of(v));
#else
  store_first(p, v, kLanes);
#endif
}
// Past the caches, to half a vector of memory.
inline void stream(BFloat16* p, Vec v) {
#if defined(KILN_ISA_avx512)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), bf16_of(v));
#elif defined(KILN_ISA_avx2)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), bf16_of(v));
#else
  store(p, v);
#endif
}

}  // namespace kiln::cpu::KILN_ISA
