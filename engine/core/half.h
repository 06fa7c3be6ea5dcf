// The 16-bit storage types, and their rounding from f32: to nearest, ties to even, NaN stays NaN.
// Nothing is computed in them; a kernel widens, sums in f32 and rounds once.
//
//             sign  exponent  fraction   largest      smallest normal
//   Float16      1         5        10   65504        2^-14             (IEEE binary16)
//   BFloat16     1         8         7   3.39e38      2^-126            (the upper half of an f32)
#pragma once

#include <bit>
#include <cstdint>

namespace kiln {

struct Float16 {
  std::uint16_t bits = 0;
};

struct BFloat16 {
  std::uint16_t bits = 0;
};

constexpr float to_float(BFloat16 value) {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}

constexpr float to_float(Float16 value) {
  const std::uint32_t sign = std::uint32_t{value.bits & 0x8000u} << 16;
  const std::uint32_t exponent = value.bits >> 10 & 0x1Fu, fraction = value.bits & 0x3FFu;
  if (exponent == 0) {
    // Zero or subnormal: fraction units of 2^-24, exact in f32.
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  const std::uint32_t wide = exponent == 0x1F ? 0xFFu : exponent + 127 - 15;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

// bits / 2^shift to the nearest whole number, ties to the even one; 0 < shift < 32.
constexpr std::uint32_t shift_to_nearest(std::uint32_t bits, int shift) {
  const std::uint32_t half = std::uint32_t{1} << (shift - 1), odd = bits >> shift & 1u;
  return (bits + half - 1 + odd) >> shift;
}

constexpr BFloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u)  // a NaN whose low bits were all must not become infinite
    return {static_cast<std::uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<std::uint16_t>(shift_to_nearest(bits, 16))};
}

constexpr Float16 to_float16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  const auto with_sign = [sign](std::uint32_t rest) {
    return Float16{static_cast<std::uint16_t>(sign | rest)};
  };
  if (magnitude > 0x7F800000u) return with_sign(0x7E00u);
  // 65520 = 65504 and half a unit: from here on the nearest is infinity.
  if (magnitude >= std::bit_cast<std::uint32_t>(65520.0f)) return with_sign(0x7C00u);
  if (magnitude >= std::bit_cast<std::uint32_t>(0x1p-14f))
    return with_sign(shift_to_nearest(magnitude - ((127u - 15u) << 23), 13));
  // Subnormal: whole units of 2^-24. Below half a unit nothing is left.
  const int exponent = static_cast<int>(magnitude >> 23);
  if (exponent < 127 - 25) return with_sign(0);
  const std::uint32_t fraction = (magnitude & 0x7FFFFFu) | 0x800000u;
  return with_sign(shift_to_nearest(fraction, 127 - 1 - exponent));
}

}  // namespace kiln
