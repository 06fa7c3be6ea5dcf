#include "models/zip_writer.h"

#include <limits>
#include <utility>
#include <zlib.h>

#include "engine/core/check.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr std::uint64_t kAlignment = 64, kLocalBytes = 30, kFieldBytes = 4;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 32;
constexpr std::uint16_t kVersion = 20, kDay = 0x21;  // 1980-01-01
constexpr std::uint16_t kPadding = 0x4246;           // "FB", the field that PyTorch pads with

template <class... Numbers>
void append(std::string& text, Numbers... numbers) {
  (text.append(reinterpret_cast<const char*>(&numbers), sizeof numbers), ...);
}

using U16 = std::uint16_t;
using U32 = std::uint32_t;

// Version, flags, method, time, day, checksum, sizes and the name's length: what both headers
// share.
std::string common_header(std::uint32_t crc, std::uint64_t size, const std::string& name) {
  std::string text;
  append(text, kVersion, U16{0}, U16{0}, U16{0}, kDay, crc, static_cast<U32>(size),
         static_cast<U32>(size), static_cast<U16>(name.size()));
  return text;
}

}  // namespace

void ZipWriter::keep(std::string header) {
  const std::string& kept = headers_.emplace_back(std::move(header));
  pieces_.push_back(std::as_bytes(std::span(kept)));
  size_ += kept.size();
}

void ZipWriter::add(const std::string& name, std::span<const std::byte> content) {
  KILN_CHECK(count_ < std::numeric_limits<U16>::max());
  if (size_ + content.size() + directory_.size() + name.size() + kAlignment * 4 >= kMostBytes)
    throw Error(ErrorKind::unsupported, name, "would make a file of 4 GiB or more");
  const auto crc = static_cast<U32>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
  const std::string common = common_header(crc, content.size(), name);
  const std::uint64_t begin = size_ + kLocalBytes + name.size() + kFieldBytes;
  const std::uint64_t padding = (kAlignment - begin % kAlignment) % kAlignment;

  append(directory_, U32{0x02014b50}, kVersion);
  directory_ += common;
  append(directory_, U16{0}, U16{0}, U16{0}, U16{0}, U32{0}, static_cast<U32>(size_));
  directory_ += name;

  std::string local;
  append(local, U32{0x04034b50});
  local += common;
  append(local, static_cast<U16>(kFieldBytes + padding));
  local += name;
  append(local, kPadding, static_cast<U16>(padding));
  local.append(padding, '\0');
  keep(std::move(local));
  pieces_.push_back(content);
  size_ += content.size();
  ++count_;
}

void ZipWriter::write(const Path& path) {
  const std::uint64_t begin = size_;
  keep(std::move(directory_));
  std::string end;
  append(end, U32{0x06054b50}, U16{0}, U16{0}, count_, count_, static_cast<U32>(size_ - begin),
         static_cast<U32>(begin), U16{0});
  keep(std::move(end));
  write_file_atomic(path, std::span<const std::span<const std::byte>>(pieces_));
}

}  // namespace kiln
