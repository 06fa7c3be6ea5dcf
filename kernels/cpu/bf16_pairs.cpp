#include "kernels/cpu/bf16_pairs.h"

#include "engine/core/check.h"

#if defined(KILN_HAVE_AVX512_BF16)
namespace kiln::cpu::avx512_bf16 {
void pair_up(const BFloat16* first, const BFloat16* second, float* words, std::int64_t count);
}
#endif

namespace kiln::cpu {

void pair_up([[maybe_unused]] const BFloat16* first, [[maybe_unused]] const BFloat16* second,
             [[maybe_unused]] float* words, [[maybe_unused]] std::int64_t count) {
#if defined(KILN_HAVE_AVX512_BF16)
  avx512_bf16::pair_up(first, second, words, count);
#else
  KILN_CHECK(false);
#endif
}

WindowSource paired_window_source(const Window& window, const BFloat16* first,
                                  const BFloat16* second, std::int64_t begin, std::int64_t end,
                                  float* padded) {
  return copied_window(
      window, begin, end, padded, [=](std::int64_t from, float* to, std::int64_t count) {
        pair_up(first + from, second == nullptr ? nullptr : second + from, to, count);
      });
}

}  // namespace kiln::cpu
