#include "kernels/cpu/dropout_simd.h"

#include "kernels/cpu/simd_map.h"

namespace kiln::cpu::KILN_ISA {
namespace {

using Words = std::uint32_t __attribute__((vector_size(kLanes * 4)));
using LongWords = std::uint64_t __attribute__((vector_size(kLanes * 4)));

// Products of the even-numbered 32-bit lanes, 64 bits each.
inline LongWords multiply_even(LongWords a, std::uint32_t b) {
#if defined(KILN_ISA_avx512)
  return reinterpret_cast<LongWords>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), _mm512_set1_epi64(static_cast<long long>(b))));
#elif defined(KILN_ISA_avx2)
  return reinterpret_cast<LongWords>(_mm256_mul_epu32(
      reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(static_cast<long long>(b))));
#elif defined(__x86_64__)
  return reinterpret_cast<LongWords>(
      _mm_mul_epu32(reinterpret_cast<__m128i>(a), _mm_set1_epi64x(static_cast<long long>(b))));
#else
  return (a & 0xffffffffu) * b;
#endif
}

struct Product {
  Words high, low;
};
inline Product multiply(Words a, std::uint32_t b) {
  const auto pairs = reinterpret_cast<LongWords>(a);
  const LongWords even = multiply_even(pairs, b), odd = multiply_even(pairs >> 32, b);
  const LongWords upper = LongWords{} + 0xffffffff00000000u;
  return {reinterpret_cast<Words>((even >> 32) | (odd & upper)),
          reinterpret_cast<Words>((even & ~upper) | (odd << 32))};
}

// Factors (0 or scale) of elements 4 * block ... 4 * (block + kLanes) - 1: Philox4x32-10 as in
// engine/core/rng.h, one counter per lane.
inline void block_factors(const MaskNumbers& mask, std::uint64_t block, float* factors) {
  Words c0{}, c1{}, c2 = Words{} + mask.epoch, c3 = Words{} + mask.stream;
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::uint64_t index = block + static_cast<std::uint64_t>(lane);
    c0[lane] = static_cast<std::uint32_t>(index);
    c1[lane] = static_cast<std::uint32_t>(index >> 32);
  }
  std::uint32_t key0 = mask.key0, key1 = mask.key1;
  for (int round = 0; round < 10; ++round) {
    const Product p0 = multiply(c0, 0xD2511F53u), p1 = multiply(c2, 0xCD9E8D57u);
    c0 = p1.high ^ c1 ^ key0;
    c1 = p1.low;
    c2 = p0.high ^ c3 ^ key1;
    c3 = p0.low;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  float lanes[4][kLanes];
  const Words words[4] = {c0, c1, c2, c3};
  for (int w = 0; w < 4; ++w)
    store(lanes[w], (words[w] >> 8) >= mask.threshold ? broadcast(mask.scale) : Vec{});
  for (int lane = 0; lane < kLanes; ++lane)
    for (int w = 0; w < 4; ++w) factors[4 * lane + w] = lanes[w][lane];
}

template <class T>
inline void scale_row(const float* factors, const T* from, T* to, std::int64_t count, bool add) {
  if (add)
    map_vectors(count, [=](auto lanes, std::int64_t i) {
      lanes.store(to + i, fmadd(lanes.load(from + i), lanes.load(factors + i), lanes.load(to + i)));
    });
  else
    map_vectors(count, [=](auto lanes, std::int64_t i) {
      lanes.store(to + i, lanes.load(from + i) * lanes.load(factors + i));
    });
}

}  // namespace

template <class T>
void dropout(const MaskNumbers& mask, std::uint64_t first_block, const T* from, T* to,
             std::int64_t count, bool add) {
  constexpr std::int64_t kStep = 4 * kLanes;
  float factors[kStep];
  for (std::int64_t i = 0; i < count; i += kStep) {
    block_factors(mask, first_block + static_cast<std::uint64_t>(i / 4), factors);
    scale_row(factors, from + i, to + i, count - i < kStep ? count - i : kStep, add);
  }
}

template <class T>
void scale_columns(const float* factors, const T* from, T* to, std::int64_t row_count,
                   std::int64_t stride, std::int64_t column_count, bool add) {
  for (std::int64_t row = 0; row < row_count; ++row)
    scale_row(factors, from + row * stride, to + row * stride, column_count, add);
}

// NOLINTBEGIN(bugprone-macro-parentheses): T is a type.
#define KILN_INSTANTIATE(T)                                                                   \
  template void dropout(const MaskNumbers&, std::uint64_t, const T*, T*, std::int64_t, bool); \
  template void scale_columns(const float*, const T*, T*, std::int64_t, std::int64_t,         \
                              std::int64_t, bool);
KILN_INSTANTIATE(float)
KILN_INSTANTIATE(BFloat16)
#undef KILN_INSTANTIATE
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace kiln::cpu::KILN_ISA
