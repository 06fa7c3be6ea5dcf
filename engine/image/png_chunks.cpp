#include "engine/image/png_chunks.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace kiln::image_detail {
namespace {

constexpr std::size_t kSignature = 8, kAround = 12;  // length, type and checksum of a chunk

std::uint32_t length_at(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t length = 0;
  for (const std::byte b : bytes.subspan(at, 4))
    length = length << 8 | std::to_integer<unsigned>(b);
  return length;
}

// Critical chunks, and what libpng's simplified interface reads besides: transparency and colour.
// Those that are unpacked or stored (iCCP) come once, or libpng refuses them.
bool is_needed(std::string_view type) {
  constexpr std::array<std::string_view, 5> kNeeded = {"tRNS", "gAMA", "cHRM", "sRGB", "iCCP"};
  constexpr char kAncillary = 0x20;
  return (type[0] & kAncillary) == 0 || std::ranges::find(kNeeded, type) != kNeeded.end();
}

}  // namespace

std::span<const std::byte> without_other_chunks(std::span<const std::byte> bytes,
                                                std::vector<std::byte>& kept) {
  kept.clear();
  std::size_t copied = 0, at = std::min(kSignature, bytes.size());
  const auto keep_until = [&](std::size_t end) {
    kept.insert(kept.end(), bytes.begin() + static_cast<std::ptrdiff_t>(copied),
                bytes.begin() + static_cast<std::ptrdiff_t>(end));
  };
  while (bytes.size() - at >= kAround) {
    const std::size_t size = kAround + length_at(bytes, at);
    if (size > bytes.size() - at) break;
    if (!is_needed({reinterpret_cast<const char*>(bytes.data()) + at + 4, 4})) {
      keep_until(at);
      copied = at + size;
    }
    at += size;
  }
  if (copied == 0) return bytes.first(at);
  keep_until(at);
  return kept;
}

}  // namespace kiln::image_detail
