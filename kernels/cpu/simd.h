// The vector of one instruction set, for files compiled by kiln_simd_sources only. GCC and Clang
// vector extensions give + - * / and comparisons; the few things they lack stand here.
#pragma once

#include <cstdint>
#include <cstring>

#ifndef KILN_ISA
#error "kernels/cpu/simd.h is for files compiled once per instruction set"
#endif

#if defined(__x86_64__)
// GCC 12 takes the deliberately undefined operands of these headers for mistakes (GCC bug 105593).
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

// AddressSanitizer checks an access of some lanes lane by lane. Inlined into every unrolled tile
// that took Clang minutes for one file, so there such an access is a call.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KILN_SOME_LANES [[gnu::noinline]] inline
#endif
#endif
#if !defined(KILN_SOME_LANES)
#define KILN_SOME_LANES inline
#endif

namespace kiln::cpu::KILN_ISA {

#if defined(KILN_ISA_avx512)
inline constexpr int kLanes = 16;
#elif defined(KILN_ISA_avx2)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

// kLanes floats; `Vec` values live in registers, loads and stores need no alignment.
using Vec = float __attribute__((vector_size(kLanes * 4)));
using IntVec = std::int32_t __attribute__((vector_size(kLanes * 4)));

inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
// x - 0, not 0 + x: the compiler may drop the first (-0 - 0 is -0) and keeps the second (0 + -0 is
// not), which would cost an addition and the embedded broadcast of AVX-512.
inline Vec broadcast(float x) { return x - Vec{}; }
// a * b + c, rounded once where the instruction set has FMA.
inline Vec fmadd(Vec a, Vec b, Vec c) {
#if defined(KILN_ISA_avx512)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(KILN_ISA_avx2)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}
inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
// The first `count` lanes (0..kLanes) from memory, zeros in the rest; reads nothing beyond them.
KILN_SOME_LANES Vec load_first(const float* p, int count) {
#if defined(KILN_ISA_avx512)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), p);
#else
  Vec v{};
  for (int i = 0; i < count; ++i) v[i] = p[i];
  return v;
#endif
}
// Writes the first `count` lanes and nothing beyond them.
KILN_SOME_LANES void store_first(float* p, Vec v, int count) {
#if defined(KILN_ISA_avx512)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), v);
#else
  for (int i = 0; i < count; ++i) p[i] = v[i];
#endif
}
// Asks for the cache line of p, which will be written. p may lie beyond the end of an array.
inline void prefetch_to_write(const float* p) { __builtin_prefetch(p, 1); }
// Lane i + 1 in lane i; the last lane means nothing.
inline Vec next_lane(Vec v) {
#if defined(KILN_ISA_avx512)
  const __m512i lanes = _mm512_castps_si512(v);
  return _mm512_castsi512_ps(_mm512_alignr_epi32(lanes, lanes, 1));
#else
  Vec moved = v;
  for (int i = 0; i + 1 < kLanes; ++i) moved[i] = v[i + 1];
  return moved;
#endif
}
// Sum of the lanes in a fixed tree: halves are added until one is left.
inline float sum(Vec v) {
  float lane[kLanes];
  store(lane, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

}  // namespace kiln::cpu::KILN_ISA
