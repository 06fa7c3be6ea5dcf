// Loops over flat arrays in whole vectors and one partial one, and a multiply-add that is fused on
// every level. For files compiled by kiln_simd_sources only.
#pragma once

#include "kernels/cpu/simd_bf16.h"

namespace kiln::cpu::KILN_ISA {

// How the body of a map touches memory, f32 or bf16: all lanes, or the first few.
struct AllLanes {
  template <class T>
  Vec load(const T* p) const {
    return KILN_ISA::load(p);
  }
  template <class T>
  void store(T* p, Vec v) const {
    KILN_ISA::store(p, v);
  }
};
struct FirstLanes {
  int count;
  template <class T>
  Vec load(const T* p) const {
    return load_first(p, count);
  }
  template <class T>
  void store(T* p, Vec v) const {
    store_first(p, v, count);
  }
};

// Stores past the caches, to whole vectors of memory: the line is not read before it is written.
// For results too large to be there still when they are read. A fence must follow the last one.
struct StreamedLanes {
  template <class T>
  Vec load(const T* p) const {
    return KILN_ISA::load(p);
  }
  void store(BFloat16* p, Vec v) const { stream(p, v); }
  void store(float* p, Vec v) const {
#if defined(KILN_ISA_avx512)
    _mm512_stream_ps(p, v);
#elif defined(KILN_ISA_avx2)
    _mm256_stream_ps(p, v);
#elif defined(__x86_64__)
    _mm_stream_ps(p, v);
#else
    KILN_ISA::store(p, v);
#endif
  }
};
inline void fence_streams() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}
// Whether rows of `width` elements from p on are whole vectors of memory.
template <class T>
inline bool streamable(const T* p, std::int64_t width) {
  return reinterpret_cast<std::uintptr_t>(p) % (kLanes * sizeof(T)) == 0 && width % kLanes == 0;
}

// body(lanes, i) for i = 0, kLanes, 2 kLanes, ... below `count`.
template <class Body>
inline void map_vectors(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(AllLanes{}, i);
  if (i < count) body(FirstLanes{static_cast<int>(count - i)}, i);
}

// v where it is a normal number, an infinity or NaN; zero where it is subnormal.
inline Vec normal_or_zero(Vec v) {
  constexpr float kSmallest = 0x1p-126f;
  const IntVec subnormal = (v < kSmallest) & (v > -kSmallest);
  return subnormal ? Vec{} : v;
}

// a * b + c rounded once. Without FMA the product is formed in double, where it is exact; the sum
// is rounded to double and then to float, which differs from one rounding once in 2^29 cases.
inline Vec fused(Vec a, Vec b, Vec c) {
#if defined(KILN_ISA_avx512) || defined(KILN_ISA_avx2)
  return fmadd(a, b, c);
#else
  Vec result;
  for (int i = 0; i < kLanes; ++i)
    result[i] = static_cast<float>(static_cast<double>(a[i]) * static_cast<double>(b[i]) +
                                   static_cast<double>(c[i]));
  return result;
#endif
}

inline Vec square_root(Vec v) {
#if defined(KILN_ISA_avx512)
  return _mm512_sqrt_ps(v);
#elif defined(KILN_ISA_avx2)
  return _mm256_sqrt_ps(v);
#elif defined(__x86_64__)
  return _mm_sqrt_ps(v);
#else
  Vec result;
  for (int i = 0; i < kLanes; ++i) result[i] = __builtin_sqrtf(v[i]);
  return result;
#endif
}

}  // namespace kiln::cpu::KILN_ISA
