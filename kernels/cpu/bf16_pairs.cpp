#include "kernels/cpu/bf16_pairs.h"

#include <algorithm>

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
  const WindowAxis &h = window.h, &w = window.w;
  const std::int64_t c = window.channels;
  const std::int64_t top = std::clamp<std::int64_t>(h.low(begin), 0, h.source);
  const std::int64_t bottom = std::clamp<std::int64_t>(h.high(end), top, h.source);
  const std::int64_t left = w.low(0), width = window.padded_width();
  const std::int64_t copy_begin = std::clamp<std::int64_t>(-left, 0, width);
  const std::int64_t copy_end = std::clamp<std::int64_t>(w.source - left, copy_begin, width);
  for (std::int64_t row = top; row < bottom; ++row) {
    float* to = padded + (row - top) * width * c;
    std::fill_n(to, copy_begin * c, 0.0f);
    const std::int64_t from = (row * w.source + left + copy_begin) * c;
    pair_up(first + from, second == nullptr ? nullptr : second + from, to + copy_begin * c,
            (copy_end - copy_begin) * c);
    std::fill_n(to + copy_end * c, (width - copy_end) * c, 0.0f);
  }
  return {padded, top, width * c};
}

}  // namespace kiln::cpu
