#include "engine/data/md5.h"

#include <algorithm>
#include <bit>

#include "engine/data/formats/gzip.h"

namespace kiln {
namespace {

// floor(2^32 |sin(i + 1)|).
constexpr std::array<std::uint32_t, 64> kSine = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
constexpr std::array<int, 16> kTurn = {7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21};

std::uint32_t little_endian(const std::uint8_t* bytes) {
  return bytes[0] | std::uint32_t{bytes[1]} << 8 | std::uint32_t{bytes[2]} << 16 |
         std::uint32_t{bytes[3]} << 24;
}

}  // namespace

void Md5::block(const std::uint8_t* bytes) {
  auto [a, b, c, d] = state_;
  for (std::uint32_t i = 0; i < 64; ++i) {
    std::uint32_t mixed = 0, word = 0;
    if (i < 16)
      mixed = (b & c) | (~b & d), word = i;
    else if (i < 32)
      mixed = (d & b) | (~d & c), word = (5 * i + 1) % 16;
    else if (i < 48)
      mixed = b ^ c ^ d, word = (3 * i + 5) % 16;
    else
      mixed = c ^ (b | ~d), word = 7 * i % 16;
    mixed += a + kSine[i] + little_endian(bytes + 4 * word);
    a = d;
    d = c;
    c = b;
    b += std::rotl(mixed, kTurn[i / 16 * 4 + i % 4]);
  }
  state_[0] += a;
  state_[1] += b;
  state_[2] += c;
  state_[3] += d;
}

void Md5::update(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const std::size_t held = total_bytes_ % 64;
    if (held == 0 && bytes.size() >= 64) {
      block(bytes.data());
      total_bytes_ += 64;
      bytes = bytes.subspan(64);
      continue;
    }
    const std::size_t count = std::min(64 - held, bytes.size());
    std::copy_n(bytes.begin(), count, pending_.begin() + static_cast<std::ptrdiff_t>(held));
    total_bytes_ += count;
    bytes = bytes.subspan(count);
    if (held + count == 64) block(pending_.data());
  }
}

std::string Md5::finish() {
  const std::uint64_t bit_count = total_bytes_ * 8;
  const std::uint8_t one = 0x80, zero = 0;
  update({&one, 1});
  while (total_bytes_ % 64 != 56) update({&zero, 1});
  std::array<std::uint8_t, 8> length;
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<std::uint8_t>(bit_count >> (8 * i));
  update(length);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (const std::uint32_t word : state_)
    for (unsigned i = 0; i < 4; ++i) {
      text += kHex[(word >> (8 * i + 4)) & 15];
      text += kHex[(word >> (8 * i)) & 15];
    }
  return text;
}

std::string md5_of_file(const Path& path) {
  const auto source = formats::open_raw_source(path);
  std::vector<std::uint8_t> chunk(1 << 18);
  Md5 md5;
  while (const std::size_t got = source->read(chunk)) md5.update(std::span(chunk).first(got));
  return md5.finish();
}

}  // namespace kiln
