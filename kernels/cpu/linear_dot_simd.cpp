// Blocks of up to 4 x 4 dot products share their loads: 8 vectors read for 16 multiply-adds. Each
// product is kept in kLanes partial sums, added in a fixed tree at the end.
#include "kernels/cpu/linear_dot.h"
#include "kernels/cpu/simd.h"

namespace kiln::cpu::KILN_ISA {
namespace {

#if defined(KILN_ISA_avx512)
inline auto halved(Vec v) {
  return __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
         __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
}
#else
inline Vec halved(Vec v) { return v; }
#endif

inline float sum_lanes(Vec v) {
  const auto eight = halved(v);
#if defined(KILN_ISA_baseline)
  const auto four = eight;
#else
  const auto four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) +
                    __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
#endif
  return (four[0] + four[2]) + (four[1] + four[3]);
}

template <int kRows, int kOutputs>
void block(const LinearDotJob& job, std::int64_t row, std::int64_t output) {
  Vec sums[kRows][kOutputs] = {};
  const float* x = job.x + row * job.inputs;
  const float* w = job.w + output * job.inputs;
  const auto add = [&](auto load_at) {
    Vec weights[kOutputs];
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) weights[o] = load_at(w + o * job.inputs);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) {
      const Vec inputs = load_at(x + m * job.inputs);
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) sums[m][o] = fmadd(inputs, weights[o], sums[m][o]);
    }
  };
  std::int64_t i = 0;
  for (; i + kLanes <= job.inputs; i += kLanes) add([i](const float* p) { return load(p + i); });
  const int rest = static_cast<int>(job.inputs - i);
  if (rest > 0) add([i, rest](const float* p) { return load_first(p + i, rest); });
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      float value = sum_lanes(sums[m][o]);
      if (job.bias != nullptr) value += job.bias[output + o];
      if (job.relu) value = 0 > value ? 0 : value;  // NaN stays NaN
      job.y[(row + m) * job.outputs + output + o] = value;
    }
  }
}

template <int kOutputs>
void rows_of(const LinearDotJob& job, std::int64_t output) {
  const std::int64_t blocks = (job.rows + 3) / 4;
  for (std::int64_t i = 0; i < blocks; ++i) {
    const std::int64_t begin = i * job.rows / blocks, count = (i + 1) * job.rows / blocks - begin;
    if (count == 4) block<4, kOutputs>(job, begin, output);
    if (count == 3) block<3, kOutputs>(job, begin, output);
    if (count == 2) block<2, kOutputs>(job, begin, output);
    if (count == 1) block<1, kOutputs>(job, begin, output);
  }
}

}  // namespace

void linear_dot(const LinearDotJob& job, std::int64_t begin, std::int64_t end) {
  std::int64_t o = begin;
  for (; o + 4 <= end; o += 4) rows_of<4>(job, o);
#if defined(KILN_SMALL)  // the same sums, for what is left of a layer's outputs
  for (; o < end; ++o) rows_of<1>(job, o);
#else
  if (end - o == 3) rows_of<3>(job, o);
  if (end - o == 2) rows_of<2>(job, o);
  if (end - o == 1) rows_of<1>(job, o);
#endif
}

}  // namespace kiln::cpu::KILN_ISA
