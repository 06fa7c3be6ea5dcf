#include "kernels/cpu/simd_bf16.h"

namespace kiln::cpu::KILN_ISA {
namespace {

inline UnsignedVec bits_of(const BFloat16* p, int count) {
  const auto mask = static_cast<__mmask16>((1u << count) - 1u);
  return reinterpret_cast<UnsignedVec>(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p)));
}

}  // namespace

void pair_up(const BFloat16* first, const BFloat16* second, float* words, std::int64_t count) {
  const auto pair = [=](std::int64_t i, int lanes) {
    UnsignedVec word = bits_of(first + i, lanes);
    if (second != nullptr) word |= bits_of(second + i, lanes) << 16;
    store_first(words + i, reinterpret_cast<Vec>(word), lanes);
  };
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) pair(i, kLanes);
  if (i < count) pair(i, static_cast<int>(count - i));
}

}  // namespace kiln::cpu::KILN_ISA
