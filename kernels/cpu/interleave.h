// Between rows of vectors and interleaved memory:
//
//   split  to[m, j] = from[j, m]     [count, M] in memory to M rows of vectors
//   join   to[j, m] = from[m, j]     and back
//
// for kLanes columns j at a time. With AVX-512 and a small even M this is a shuffle of M registers
// into M others: every result takes its lanes from M/2 pairs of sources by vpermt2ps, a table says
// which. Otherwise plain loops. For files compiled by kiln_simd_sources only.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA {

inline bool has_shuffle(int m) { return kLanes == 16 && (m == 2 || m == 4 || m == 6 || m == 8); }
// 32-bit integers of a table.
inline int shuffle_table_count(int m) { return has_shuffle(m) ? m * (m / 2) * kLanes : 0; }

// table[result][pair][lane]: the lane among the pair's 2 kLanes, negative where another pair has
// it. The source of lane `flat` of all results together is lane `source(flat)` of all sources
// together.
template <class Source>
inline void fill_shuffle_table(int m, std::int32_t* table, const Source& source) {
  if (!has_shuffle(m)) return;
  for (int result = 0; result < m; ++result)
    for (int pair = 0; pair < m / 2; ++pair)
      for (int lane = 0; lane < kLanes; ++lane) {
        const int at = source(result * kLanes + lane) - pair * 2 * kLanes;
        *table++ = at >= 0 && at < 2 * kLanes ? at : -1;
      }
}
inline void fill_split_table(int m, std::int32_t* table) {
  fill_shuffle_table(m, table, [m](int flat) { return flat % kLanes * m + flat / kLanes; });
}
inline void fill_join_table(int m, std::int32_t* table) {
  fill_shuffle_table(m, table, [m](int flat) { return flat % m * kLanes + flat / m; });
}

#if defined(KILN_ISA_avx512)
template <int M>
inline Vec shuffle(const Vec (&from)[M], const std::int32_t* table) {
  Vec result = _mm512_permutex2var_ps(from[0], _mm512_loadu_si512(table), from[1]);
  KILN_UNROLL for (int pair = 1; pair < M / 2; ++pair) {
    const __m512i lanes = _mm512_loadu_si512(table + pair * kLanes);
    result = _mm512_mask_blend_ps(_mm512_movepi32_mask(lanes),
                                  _mm512_permutex2var_ps(from[2 * pair], lanes, from[2 * pair + 1]),
                                  result);
  }
  return result;
}

template <int M>
inline void split_vectors(const float* from, int count, const std::int32_t* table, float* to,
                          int stride) {
  Vec in[M];
  const int left = count * M;
  KILN_UNROLL for (int m = 0; m < M; ++m) {
    const int here = left - m * kLanes;
    in[m] = here >= kLanes ? load(from + m * kLanes)
            : here > 0     ? load_first(from + m * kLanes, here)
                           : Vec{};
  }
  KILN_UNROLL for (int m = 0; m < M; ++m)
      store(to + m * stride, shuffle<M>(in, table + m * (M / 2) * kLanes));
}

template <int M>
inline void join_vectors(const float* from, int count, const std::int32_t* table, float* to) {
  Vec in[M];
  KILN_UNROLL for (int m = 0; m < M; ++m) in[m] = load(from + m * kLanes);
  const int left = count * M;
  KILN_UNROLL for (int m = 0; m < M; ++m) {
    const int here = left - m * kLanes;
    if (here <= 0) return;
    const Vec result = shuffle<M>(in, table + m * (M / 2) * kLanes);
    here >= kLanes ? store(to + m * kLanes, result) : store_first(to + m * kLanes, result, here);
  }
}

// As above for small integers, one to a float's lane, that become bytes.
template <int M>
inline void join_vectors(const float* from, int count, const std::int32_t* table,
                         std::uint8_t* to) {
  Vec in[M];
  KILN_UNROLL for (int m = 0; m < M; ++m) in[m] = load(from + m * kLanes);
  const int left = count * M;
  KILN_UNROLL for (int m = 0; m < M; ++m) {
    const int here = left - m * kLanes;
    if (here <= 0) return;
    const auto first = static_cast<__mmask16>(here >= kLanes ? -1 : (1 << here) - 1);
    _mm512_mask_cvtepi32_storeu_epi8(
        to + m * kLanes, first, _mm512_castps_si512(shuffle<M>(in, table + m * (M / 2) * kLanes)));
  }
}
#endif

inline std::uint8_t as_element(const float* lane, std::uint8_t) {
  std::int32_t value;
  __builtin_memcpy(&value, lane, sizeof value);
  return static_cast<std::uint8_t>(value);
}
inline float as_element(const float* lane, float) { return *lane; }

// `count` <= kLanes columns; writes whole vectors: to[m, 0..kLanes).
inline void split(const float* from, int m, int count, const std::int32_t* table, float* to,
                  int stride) {
#if defined(KILN_ISA_avx512)
  if (m == 2) return split_vectors<2>(from, count, table, to, stride);
  if (m == 4) return split_vectors<4>(from, count, table, to, stride);
  if (m == 6) return split_vectors<6>(from, count, table, to, stride);
  if (m == 8) return split_vectors<8>(from, count, table, to, stride);
#endif
  static_cast<void>(table);
  for (int j = 0; j < count; ++j)
    for (int i = 0; i < m; ++i) to[i * stride + j] = *from++;
}

// from [m, kLanes]: floats, or integers that become bytes. Writes to[0..count, 0..m) and no more.
template <class T>
inline void join(const float* from, int m, int count, const std::int32_t* table, T* to) {
#if defined(KILN_ISA_avx512)
  if (m == 2) return join_vectors<2>(from, count, table, to);
  if (m == 4) return join_vectors<4>(from, count, table, to);
  if (m == 6) return join_vectors<6>(from, count, table, to);
  if (m == 8) return join_vectors<8>(from, count, table, to);
#endif
  static_cast<void>(table);
  for (int j = 0; j < count; ++j)
    for (int i = 0; i < m; ++i) *to++ = as_element(from + i * kLanes + j, T{});
}

}  // namespace kiln::cpu::KILN_ISA
