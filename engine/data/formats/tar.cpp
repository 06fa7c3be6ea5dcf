#include "engine/data/formats/tar.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "engine/core/check.h"
#include "engine/data/formats/common.h"

namespace kiln::formats {
namespace {

constexpr std::size_t kBlockBytes = 512;
// More than any archive of a data set; keeps sums below 2^64.
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 40;

using Block = std::array<std::uint8_t, kBlockBytes>;

// POSIX ustar: fields of a header at fixed places, numbers in octal text.
std::string_view field(const Block& block, std::size_t at, std::size_t count) {
  const std::string_view bytes(reinterpret_cast<const char*>(block.data()) + at, count);
  return bytes.substr(0, std::min(bytes.find('\0'), bytes.size()));
}

std::uint64_t octal(const Path& path, std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7' || value > kMaxFileBytes)
      refuse(path, "is a damaged tar archive: \"" + printable(text) + "\" is no size");
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
  }
  if (text.empty() || value > kMaxFileBytes)
    refuse(path, "is a damaged tar archive: \"" + printable(text) + "\" is no size");
  return value;
}

// The sum of all bytes of the header, its own field taken as spaces.
std::uint64_t checksum(const Block& block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) sum += i >= 148 && i < 156 ? ' ' : block[i];
  return sum;
}

}  // namespace

bool TarReader::next_header(TarEntry& entry, char& type) {
  Block block;
  const std::size_t got = source_.read(std::span(block).first(1));
  if (got == 0) return false;  // an archive without its two empty blocks; tar accepts it too
  read_exactly(source_, path_, std::span(block).subspan(1));
  if (std::all_of(block.begin(), block.end(), [](std::uint8_t b) { return b == 0; })) return false;
  if (octal(path_, field(block, 148, 8)) != checksum(block))
    refuse(path_, "is no tar archive, or a damaged one: a header's checksum is wrong");
  const std::string_view prefix =
      field(block, 257, 5) == "ustar" ? field(block, 345, 155) : std::string_view();
  entry.name = prefix.empty() ? "" : std::string(prefix) + "/";
  entry.name += field(block, 0, 100);
  entry.size_bytes = octal(path_, field(block, 124, 12));
  type = static_cast<char>(block[156]);
  return true;
}

std::optional<TarEntry> TarReader::next() {
  TarEntry entry;
  char type = 0;
  while (true) {
    skip(remaining_bytes_ + padding_bytes_);
    remaining_bytes_ = padding_bytes_ = 0;
    if (!next_header(entry, type)) return std::nullopt;
    // Links, folders and devices have no content here, whatever their size field says.
    const bool has_content =
        type == '0' || type == '\0' || type == 'x' || type == 'g' || type == 'L' || type == 'K';
    remaining_bytes_ = has_content ? entry.size_bytes : 0;
    padding_bytes_ = (kBlockBytes - remaining_bytes_ % kBlockBytes) % kBlockBytes;
    if (type == '0' || type == '\0') return entry;
  }
}

void TarReader::read(std::span<std::uint8_t> out) {
  KILN_CHECK(out.size() <= remaining_bytes_);
  read_exactly(source_, path_, out);
  remaining_bytes_ -= out.size();
}

void TarReader::skip(std::uint64_t count) {
  std::vector<std::uint8_t> scratch(
      static_cast<std::size_t>(std::min<std::uint64_t>(count, 1 << 16)));
  while (count > 0) {
    const auto part = std::span(scratch).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(count, scratch.size())));
    read_exactly(source_, path_, part);
    count -= part.size();
  }
}

}  // namespace kiln::formats
