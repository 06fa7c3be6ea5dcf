#include "kernels/cpu/normalize_simd.h"

#include "kernels/cpu/simd_bytes.h"

namespace kiln::cpu::KILN_ISA {
namespace {

// `kPeriod` vectors hold a whole number of pixels of kPeriod channels, so vector v of such a group
// has the same constants in every group. Returns how many elements are done.
template <int kPeriod, class T>
inline std::int64_t normalize_groups(const NormalizeNumbers& n, const std::uint8_t* x, T* y,
                                     std::int64_t count) {
  Vec high[kPeriod], low[kPeriod], scale[kPeriod];
  for (int v = 0; v < kPeriod; ++v)
    for (int lane = 0; lane < kLanes; ++lane) {
      const int c = (v * kLanes + lane) % kPeriod;
      high[v][lane] = n.high[c];
      low[v][lane] = n.low[c];
      scale[v][lane] = n.scale[c];
    }
  std::int64_t i = 0;
  for (; i + kPeriod * kLanes <= count; i += kPeriod * kLanes)
#pragma GCC unroll 4
    for (int v = 0; v < kPeriod; ++v) {
      const Vec value = __builtin_convertvector(load_bytes(AllLanes{}, x + i + v * kLanes), Vec);
      store(y + i + v * kLanes, (value - high[v] - low[v]) * scale[v]);
    }
  return i;
}

}  // namespace

template <class T>
void normalize(const NormalizeNumbers& n, const std::uint8_t* x, T* y, std::int64_t count) {
  std::int64_t i = n.channel_count == 1   ? normalize_groups<1>(n, x, y, count)
                   : n.channel_count == 2 ? normalize_groups<2>(n, x, y, count)
                   : n.channel_count == 3 ? normalize_groups<3>(n, x, y, count)
                                          : normalize_groups<4>(n, x, y, count);
  for (; i < count; ++i) {
    const std::int64_t c = i % n.channel_count;
    const float value = (static_cast<float>(x[i]) - n.high[c] - n.low[c]) * n.scale[c];
    store_first(y + i, broadcast(value), 1);
  }
}
template void normalize(const NormalizeNumbers&, const std::uint8_t*, float*, std::int64_t);
template void normalize(const NormalizeNumbers&, const std::uint8_t*, BFloat16*, std::int64_t);

// A lane of `squares` grows by at most 255^2 per step: 16,384 steps stay below 2^31.
ByteMoments byte_moments(const std::uint8_t* x, std::int64_t count) {
  ByteMoments total{0, 0};
  std::int64_t i = 0;
  while (i + kLanes <= count) {
    IntVec sums{}, squares{};
    for (int step = 0; step < 16384 && i + kLanes <= count; ++step, i += kLanes) {
      const IntVec values = load_bytes(AllLanes{}, x + i);
      sums += values;
      squares += values * values;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      total.sum += static_cast<std::uint64_t>(sums[lane]);
      total.squares += static_cast<std::uint64_t>(squares[lane]);
    }
  }
  for (; i < count; ++i) {
    total.sum += x[i];
    total.squares += static_cast<std::uint64_t>(x[i]) * x[i];
  }
  return total;
}

}  // namespace kiln::cpu::KILN_ISA
