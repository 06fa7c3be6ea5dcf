// The register blocks of kernels/cpu/gemm_tile.h.
//
// Heights come from the register file: 32 vectors (AVX-512) hold 14 x 2 sums, two of B and one of
// A; 16 vectors hold 6 x 2. On Zen 4 and its like one 512-bit FMA starts per cycle, or two 256-bit
// ones, so at most 8 columns run at twice the rate in the narrow block.
#include "kernels/cpu/gemm_tile.h"
#include "kernels/cpu/simd_bf16.h"

namespace kiln::cpu::KILN_ISA {
namespace {

#if defined(KILN_ISA_avx512)
// Eight lanes, for few columns.
using Vec8 = float __attribute__((vector_size(32)));
inline __mmask16 mask_of(int lanes) { return static_cast<__mmask16>((1u << lanes) - 1u); }
KILN_SOME_LANES Vec load_some(const float* p, int lanes, Vec) {
  return _mm512_maskz_loadu_ps(mask_of(lanes), p);
}
KILN_SOME_LANES Vec8 load_some(const float* p, int lanes, Vec8) {
  return _mm256_maskz_loadu_ps(static_cast<__mmask8>(mask_of(lanes)), p);
}
KILN_SOME_LANES void store_some(float* p, Vec v, int lanes) {
  _mm512_mask_storeu_ps(p, mask_of(lanes), v);
}
KILN_SOME_LANES void store_some(float* p, Vec8 v, int lanes) {
  _mm256_mask_storeu_ps(p, static_cast<__mmask8>(mask_of(lanes)), v);
}
inline constexpr bool kMaskIsFree = true;
#elif defined(KILN_ISA_avx2)
KILN_SOME_LANES Vec load_some(const float* p, int lanes, Vec) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), lane));
}
inline void store_some(float* p, Vec v, int lanes) { store_first(p, v, lanes); }
inline constexpr bool kMaskIsFree = false;
#else
inline Vec load_some(const float* p, int lanes, Vec) { return load_first(p, lanes); }
inline void store_some(float* p, Vec v, int lanes) { store_first(p, v, lanes); }
inline constexpr bool kMaskIsFree = false;
#endif

#if defined(KILN_ISA_avx512_bf16)
// Words are pairs of bf16.
inline __m512 multiply_pairs(__m512i a, Vec b, Vec c) {
  return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
inline __m256 multiply_pairs(__m256i a, Vec8 b, Vec8 c) {
  return _mm256_dpbf16_ps(c, reinterpret_cast<__m256bh>(a), reinterpret_cast<__m256bh>(b));
}
inline std::int32_t word_at(const float* p) {
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}
struct Products {
  static Vec add(const float* a, Vec b, Vec c) {
    return multiply_pairs(_mm512_set1_epi32(word_at(a)), b, c);
  }
  static Vec8 add(const float* a, Vec8 b, Vec8 c) {
    return multiply_pairs(_mm256_set1_epi32(word_at(a)), b, c);
  }
};
#else
struct Products {
  static Vec add(const float* a, Vec b, Vec c) { return fmadd(*a - Vec{}, b, c); }
#if defined(KILN_ISA_avx512)
  static Vec8 add(const float* a, Vec8 b, Vec8 c) { return _mm256_fmadd_ps(*a - Vec8{}, b, c); }
#endif
};
#endif

template <class V>
inline constexpr int kLanesOf = static_cast<int>(sizeof(V) / sizeof(float));

template <class V, bool kPartial>
inline V load_vector(const float* p, int lanes) {
  if constexpr (kPartial) return load_some(p, lanes, V{});
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// C in memory: a whole vector, or its first `tail` lanes.
template <class V>
inline V load_result(const float* p, bool whole, int tail) {
  return whole ? load_vector<V, false>(p, 0) : load_some(p, tail, V{});
}
template <class V>
inline void store_result(float* p, V v, bool whole, int tail) {
  if (whole)
    std::memcpy(p, &v, sizeof v);
  else
    store_some(p, v, tail);
}
inline Vec as_vec(Vec v) { return v; }
template <class V>
inline V lower_part(Vec v) {
  if constexpr (kLanesOf<V> == kLanes) {
    return v;
  } else {
#if defined(KILN_ISA_avx512)
    return _mm512_castps512_ps256(v);
#endif
  }
}
#if defined(KILN_ISA_avx512)
inline Vec as_vec(Vec8 v) { return _mm512_zextps256_ps512(v); }
#endif
template <class V>
inline V load_result(const BFloat16* p, bool whole, int tail) {
  return lower_part<V>(whole && kLanesOf<V> == kLanes ? load(p)
                                                      : load_first(p, whole ? kLanesOf<V> : tail));
}
template <class V>
inline void store_result(BFloat16* p, V v, bool whole, int tail) {
  if (whole && kLanesOf<V> == kLanes)
    store(p, as_vec(v));
  else
    store_first(p, as_vec(v), whole ? kLanesOf<V> : tail);
}

// Adds the products of one (outer, inner) pair to the sums.
template <class V, int kRows, int kVectors, bool kRowsTouch, bool kPartial>
inline void multiply(V (&sums)[kRows][kVectors], const GemmTileJob& job, const float* a,
                     const float* b, int tail) {
  constexpr int kLast = kVectors - 1;
  constexpr int kGroups = (kRows + 2) / 3;
  // x86 addresses reach base, base + step and base + 2 step: one pointer serves three rows.
  const std::ptrdiff_t row = kRowsTouch ? 1 : job.a_row;
  const std::ptrdiff_t step = kRowsTouch ? job.a_step : 1;
  const float* base[kGroups];
  for (int group = 0; group < kGroups; ++group) base[group] = a + 3 * group * row;
  for (std::int64_t d = 0; d < job.depth; ++d) {
    V column[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kLast; ++v) column[v] = load_vector<V, false>(b + v * kLanesOf<V>, 0);
    column[kLast] = load_vector<V, kPartial>(b + kLast * kLanesOf<V>, tail);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) {
      const float* factor = kRowsTouch ? a + m : base[m / 3] + m % 3 * row;
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[m][v] = Products::add(factor, column[v], sums[m][v]);
    }
    if constexpr (kRowsTouch) {
      a += step;
    } else {
#pragma GCC unroll 8
      for (int group = 0; group < kGroups; ++group) ++base[group];
    }
    b += job.b_step;
  }
}

template <class Out, class V, int kRows, int kVectors, bool kRowsTouch, bool kPartial>
void tile_body(const GemmTileJob& job, int tail) {
  constexpr int kLast = kVectors - 1;
  V sums[kRows][kVectors];
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    V start{};
    if (job.start != nullptr)
      start = v < kLast ? load_vector<V, false>(job.start + v * kLanesOf<V>, 0)
                        : load_vector<V, kPartial>(job.start + v * kLanesOf<V>, tail);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) sums[m][v] = start;
  }
  for (std::int64_t outer = 0; outer < job.outer_count; ++outer)
    for (std::int64_t inner = 0; inner < job.inner_count; ++inner)
      multiply<V, kRows, kVectors, kRowsTouch, kPartial>(
          sums, job, job.a + outer * job.a_outer + inner * job.a_inner,
          job.b + outer * job.b_outer + inner * job.b_inner, tail);
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
    Out* c = static_cast<Out*>(job.c) + m * job.c_row;
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      V value = sums[m][v];
      Out* at = c + v * kLanesOf<V>;
      const bool whole = !kPartial || v < kLast;
      if (job.add_to_c) value += load_result<V>(at, whole, tail);
      if (job.relu) value = V{} > value ? V{} : value;  // NaN stays NaN
      store_result(at, value, whole, tail);
    }
  }
}

template <class Out, class V, int kRows, int kVectors, bool kRowsTouch>
void tile(const GemmTileJob& job, int columns) {
  const int tail = columns - (kVectors - 1) * kLanesOf<V>;
  if (kMaskIsFree || tail < kLanesOf<V>)
    return tile_body<Out, V, kRows, kVectors, kRowsTouch, true>(job, tail);
  if constexpr (!kMaskIsFree) tile_body<Out, V, kRows, kVectors, kRowsTouch, false>(job, tail);
}

template <class Out, class V, int kVectors, bool kRowsTouch>
inline constexpr GemmTile::Run kRuns[16] = {
    tile<Out, V, 1, kVectors, kRowsTouch>,
    tile<Out, V, 2, kVectors, kRowsTouch>,
    tile<Out, V, 3, kVectors, kRowsTouch>,
    tile<Out, V, 4, kVectors, kRowsTouch>,
    tile<Out, V, 5, kVectors, kRowsTouch>,
    tile<Out, V, 6, kVectors, kRowsTouch>,
#if defined(KILN_ISA_avx512)
    tile<Out, V, 7, kVectors, kRowsTouch>,
    tile<Out, V, 8, kVectors, kRowsTouch>,
    tile<Out, V, 9, kVectors, kRowsTouch>,
    tile<Out, V, 10, kVectors, kRowsTouch>,
    tile<Out, V, 11, kVectors, kRowsTouch>,
    tile<Out, V, 12, kVectors, kRowsTouch>,
    tile<Out, V, 13, kVectors, kRowsTouch>,
    tile<Out, V, 14, kVectors, kRowsTouch>,
    kVectors == 1 ? tile<Out, V, 15, 1, kRowsTouch> : nullptr,
    kVectors == 1 ? tile<Out, V, 16, 1, kRowsTouch> : nullptr,
#else
    kVectors == 1 ? tile<Out, V, 7, 1, kRowsTouch> : nullptr,
    kVectors == 1 ? tile<Out, V, 8, 1, kRowsTouch> : nullptr,
    kVectors == 1 ? tile<Out, V, 9, 1, kRowsTouch> : nullptr,
    kVectors == 1 ? tile<Out, V, 10, 1, kRowsTouch> : nullptr,
    kVectors == 1 ? tile<Out, V, 11, 1, kRowsTouch> : nullptr,
    kVectors == 1 ? tile<Out, V, 12, 1, kRowsTouch> : nullptr,
#endif
};

#if defined(KILN_ISA_avx512)
template <class Out>
constexpr GemmTile kKernels{.width = {2 * kLanes, kLanes, 8},
                            .max_rows = {14, 16, 16},
                            .runs = {{kRuns<Out, Vec, 2, false>, kRuns<Out, Vec, 2, true>},
                                     {kRuns<Out, Vec, 1, false>, kRuns<Out, Vec, 1, true>},
                                     {kRuns<Out, Vec8, 1, false>, kRuns<Out, Vec8, 1, true>}},
                            .out_size = sizeof(Out)};
#else
template <class Out>
constexpr GemmTile kKernels{.width = {2 * kLanes, kLanes, kLanes},
                            .max_rows = {6, 12, 12},
                            .runs = {{kRuns<Out, Vec, 2, false>, kRuns<Out, Vec, 2, true>},
                                     {kRuns<Out, Vec, 1, false>, kRuns<Out, Vec, 1, true>},
                                     {kRuns<Out, Vec, 1, false>, kRuns<Out, Vec, 1, true>}},
                            .out_size = sizeof(Out)};
#endif
static_assert(2 * kLanes <= GemmTile::kMaxWidth);

}  // namespace

#if defined(KILN_ISA_avx512_bf16)
const GemmTile& pair_tile_kernels_f32() { return kKernels<float>; }
const GemmTile& pair_tile_kernels_bf16() { return kKernels<BFloat16>; }
#else
const GemmTile& gemm_tile_kernels() { return kKernels<float>; }
const GemmTile& gemm_tile_kernels_bf16() { return kKernels<BFloat16>; }
#endif

}  // namespace kiln::cpu::KILN_ISA
