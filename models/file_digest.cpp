#include "models/file_digest.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <sha2.h>
#include <zlib.h>

#include "engine/core/error.h"

namespace kiln {
namespace {

std::string hex(const std::array<std::uint8_t, SHA256_DIGEST_LENGTH>& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

class Crc32 {
 public:
  void add(std::span<const std::byte> bytes) {
    value_ = ::crc32_z(value_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  }
  void add(std::uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }
  // With its length, so that no two lists of texts are the same bytes.
  void add(std::string_view text) {
    add(text.size());
    add(std::as_bytes(std::span(text)));
  }
  std::string text() const {
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08lx", value_);
    return digits;
  }

 private:
  uLong value_ = 0;
};

}  // namespace

// Read, not mapped: a map of a file that is being cut off would end the process.
FileDigest digest_file(const Path& directory, const std::string& name) {
  const std::vector<std::byte> bytes =
      read_file(directory / name, std::numeric_limits<std::uint64_t>::max());
  SHA2_CTX context;
  SHA256Init(&context);
  SHA256Update(&context, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256Final(digest.data(), &context);
  return {.name = name, .bytes = bytes.size(), .sha256 = hex(digest)};
}

void verify_files(const Path& directory, const std::vector<FileDigest>& files) {
  for (const FileDigest& file : files) {
    std::error_code failed;
    const std::uint64_t size = std::filesystem::file_size(directory / file.name, failed);
    // Where there is no size, reading tells why.
    if ((failed || size == file.bytes) && digest_file(directory, file.name) == file) continue;
    throw Error(ErrorKind::input, (directory / file.name).string(),
                "is not the file that model.json was written for", "copy the whole folder again");
  }
}

std::string checksum_of(std::span<const SafetensorsEntry> entries,
                        const SafetensorsMetadata& metadata) {
  Crc32 crc;
  for (const auto& [key, text] : metadata) {
    if (key == kChecksumKey) continue;
    crc.add(key);
    crc.add(text);
  }
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : entries) order.push_back(&entry);
  std::ranges::sort(order, {}, &SafetensorsEntry::name);
  for (const SafetensorsEntry* entry : order) {
    crc.add(entry->name);
    crc.add(name_of(entry->dtype));
    for (const std::int64_t extent : entry->shape.extents())
      crc.add(static_cast<std::uint64_t>(extent));
    crc.add(entry->bytes.size());
    if (!entry->bytes.empty()) crc.add(entry->bytes);
  }
  return crc.text();
}

bool is_sha256(std::string_view text) {
  return text.size() == 2 * SHA256_DIGEST_LENGTH && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace kiln
