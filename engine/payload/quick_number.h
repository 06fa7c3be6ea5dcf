// Numbers as nearly every client writes them, read without a branch that their lengths decide.
// What is not of that kind is left to std::from_chars: a quick reader says so by nullptr.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace kiln::payload::detail {

static_assert(std::endian::native == std::endian::little, "digits are taken from words of memory");

// How many of the first bytes of a word are digits, given the word with each byte ^ '0'.
inline int leading_digits(std::uint64_t word) {
  constexpr std::uint64_t kHigh = 0x8080808080808080u;
  const std::uint64_t others = ((word & ~kHigh) + 0x7676767676767676u) | word;
  return std::countr_zero(others & kHigh) / 8;  // 8 where all are digits
}

inline std::uint64_t word_at(const char* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word ^ 0x3030303030303030u;
}

// 0 to 255 in one to three digits; 8 bytes must be readable. Returns what follows them.
inline const char* read_quick(const char* at, std::uint8_t& pixel) {
  const std::uint64_t word = word_at(at);
  const int digits = leading_digits(word);
  if (digits < 1 || digits > 3) return nullptr;
  const auto right = static_cast<std::uint32_t>(word) << (4 - digits) * 8;
  const std::uint32_t value = (right >> 8 & 0xFF) * 100 + (right >> 16 & 0xFF) * 10 + (right >> 24);
  pixel = static_cast<std::uint8_t>(value);
  return value <= 255 ? at + digits : nullptr;
}

// The value of the first `digits` bytes of a word, 0 <= digits <= 8.
inline std::uint32_t digits_value(std::uint64_t word, int digits) {
  if (digits == 0) return 0;
  word <<= (8 - digits) * 8;
  word = word * 10 + (word >> 8);  // pairs, in every second byte
  constexpr std::uint64_t kPairs = 0x000000FF000000FFu;
  return static_cast<std::uint32_t>(
      ((word & kPairs) * 0x000F424000000064u + (word >> 16 & kPairs) * 0x0000271000000001u) >> 32);
}

// -12.345678901234567: up to 8 digits, a point, up to 18 digits, 19 in all and no exponent; 32
// bytes must be readable. Rounded to the nearest float, halves to even, as std::from_chars rounds.
inline const char* read_quick(const char* at, float& value) {
  constexpr std::array<double, 20> kPower = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                                             1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                             1e14, 1e15, 1e16, 1e17, 1e18, 1e19};
  constexpr std::array<std::uint64_t, 9> kShift = {
      1, 10, 100, 1000, 10000, 100'000, 1'000'000, 10'000'000, 100'000'000};
  const bool negative = *at == '-';
  at += negative ? 1 : 0;
  std::uint64_t word = word_at(at);
  int digits = leading_digits(word);
  if (digits == 0 || at[digits] != '.') return nullptr;
  std::uint64_t mantissa = digits_value(word, digits);
  const char* fraction = at += digits + 1;
  const std::uint64_t whole = mantissa;
  do {
    word = word_at(at);
    digits = leading_digits(word);
    mantissa = mantissa * kShift[static_cast<std::size_t>(digits)] + digits_value(word, digits);
    at += digits;
  } while (digits == 8 && at - fraction <= 16);
  const auto decimals = static_cast<std::size_t>(at - fraction);
  // Anything above this many digits might not fit into the mantissa.
  constexpr std::size_t kDecimals = 18;
  if (digits == 8 || decimals == 0 || decimals > kDecimals || (whole > 9 && decimals > 11))
    return nullptr;
  // The quotient is within two units of its last place of the true value. The float nearest to both
  // is the same, unless half way between two floats (bit 28 of the 29 that are dropped) is as near.
  const double quotient = static_cast<double>(mantissa) / kPower[decimals];
  constexpr std::uint64_t kDropped = 0x1FFFFFFFu, kHalf = 0x10000000u, kDoubt = 4;
  const std::uint64_t dropped = std::bit_cast<std::uint64_t>(quotient) & kDropped;
  if (dropped - (kHalf - kDoubt) <= 2 * kDoubt) return nullptr;
  value = static_cast<float>(negative ? -quotient : quotient);
  return at;
}

}  // namespace kiln::payload::detail
