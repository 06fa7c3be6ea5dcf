#include "models/zip_archive.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <zlib.h>

#include "engine/core/error.h"

namespace kiln {
namespace {

static_assert(std::endian::native == std::endian::little, "ZIP's numbers are little-endian");

constexpr std::uint32_t kLocalMark = 0x04034b50, kCentralMark = 0x02014b50, kEndMark = 0x06054b50,
                        kEnd64Mark = 0x06064b50, kLocatorMark = 0x07064b50;
constexpr std::uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                        kLocatorBytes = 20, kMostComment = 65'535, kMostName = 1024;
constexpr std::uint64_t kIn64 = 0xFFFFFFFF;  // the number stands in the zip64 field
constexpr std::uint16_t kZip64Field = 1, kEncrypted = 1;

// Where the central directory lies, and what it says it holds.
struct Directory {
  std::uint64_t begin = 0, size = 0, count = 0;
};

class Reader {
 public:
  Reader(std::span<const std::byte> file, std::string_view thing) : file_(file), thing_(thing) {}

  std::vector<ZipEntry> entries() {
    const Directory directory = find_directory();
    std::vector<ZipEntry> entries;
    std::uint64_t at = directory.begin, total = 0;
    for (std::uint64_t i = 0; i < directory.count; ++i) {
      entries.push_back(take_entry(at, directory));
      total += entries.back().bytes.size();
      if (total > file_.size()) fail("has entries that lie over one another");
    }
    return entries;
  }

 private:
  [[noreturn]] void fail(const std::string& wrong) const {
    throw Error(ErrorKind::input, thing_, wrong, "the file is damaged; copy or save it again");
  }

  // The caller has checked that the bytes are there.
  template <class T>
  T number(std::uint64_t at) const {
    T value;
    std::memcpy(&value, file_.data() + at, sizeof value);
    return value;
  }

  bool holds(std::uint64_t at, std::uint64_t count) const {
    return at <= file_.size() && count <= file_.size() - at;
  }

  // The end record stands at the end, behind it only its comment.
  std::uint64_t find_end() const {
    if (file_.size() < kEndBytes) fail("is too short for a ZIP archive");
    const std::uint64_t last = file_.size() - kEndBytes;
    const std::uint64_t first = last - std::min(last, kMostComment);
    for (std::uint64_t at = last + 1; at-- > first;)
      if (number<std::uint32_t>(at) == kEndMark &&
          number<std::uint16_t>(at + 20) == file_.size() - at - kEndBytes)
        return at;
    fail("has no end of a ZIP archive: it was cut off");
  }

  Directory find_directory() const {
    const std::uint64_t end = find_end();
    Directory directory{.begin = number<std::uint32_t>(end + 16),
                        .size = number<std::uint32_t>(end + 12),
                        .count = number<std::uint16_t>(end + 10)};
    std::uint64_t limit = end;
    if (end >= kLocatorBytes && number<std::uint32_t>(end - kLocatorBytes) == kLocatorMark) {
      limit = number<std::uint64_t>(end - kLocatorBytes + 8);
      if (!holds(limit, kEnd64Bytes) || number<std::uint32_t>(limit) != kEnd64Mark)
        fail("has no zip64 record where it says");
      directory = {.begin = number<std::uint64_t>(limit + 48),
                   .size = number<std::uint64_t>(limit + 40),
                   .count = number<std::uint64_t>(limit + 32)};
    }
    if (directory.begin > limit || directory.size > limit - directory.begin)
      fail("has a directory that does not lie in the file");
    if (directory.count > ZipArchive::kMostEntries ||
        directory.count > directory.size / kCentralBytes)
      fail("announces " + std::to_string(directory.count) + " entries");
    return directory;
  }

  // Reads one record of the directory and moves `at` behind it.
  ZipEntry take_entry(std::uint64_t& at, const Directory& directory) const {
    const std::uint64_t end = directory.begin + directory.size;
    if (end - at < kCentralBytes || number<std::uint32_t>(at) != kCentralMark)
      fail("has a damaged directory");
    const std::uint64_t name_size = number<std::uint16_t>(at + 28),
                        extra_size = number<std::uint16_t>(at + 30),
                        comment_size = number<std::uint16_t>(at + 32);
    if (end - at - kCentralBytes < name_size + extra_size + comment_size)
      fail("has a damaged directory");
    const std::string_view name = text(at + kCentralBytes, name_size);
    std::uint64_t sizes[] = {number<std::uint32_t>(at + 24), number<std::uint32_t>(at + 20),
                             number<std::uint32_t>(at + 42)};  // size, stored size, place
    widen(sizes, at + kCentralBytes + name_size, extra_size);
    const std::string called = "entry \"" + printable(name) + "\"";
    if (name.empty() || name_size > kMostName) fail("has an entry without a proper name");
    if ((number<std::uint16_t>(at + 8) & kEncrypted) != 0) fail(called + " is encrypted");
    const bool is_stored = number<std::uint16_t>(at + 10) == 0;
    if (is_stored && sizes[0] != sizes[1]) fail(called + " has two sizes");
    const ZipEntry entry{.name = name,
                         .crc32 = number<std::uint32_t>(at + 16),
                         .is_stored = is_stored,
                         .bytes = content(name, sizes[2], sizes[1], directory.begin)};
    at += kCentralBytes + name_size + extra_size + comment_size;
    return entry;
  }

  std::string_view text(std::uint64_t at, std::uint64_t size) const {
    return {reinterpret_cast<const char*>(file_.data()) + at, static_cast<std::size_t>(size)};
  }

  // Takes the numbers that did not fit 32 bits from the zip64 field, where they stand in order.
  void widen(std::span<std::uint64_t> numbers, std::uint64_t at, std::uint64_t size) const {
    const std::uint64_t end = at + size;
    while (end - at >= 4) {
      const auto kind = number<std::uint16_t>(at), bytes = number<std::uint16_t>(at + 2);
      at += 4;
      if (bytes > end - at) fail("has a damaged directory");
      if (kind == kZip64Field) {
        std::uint64_t place = at;
        for (std::uint64_t& value : numbers) {
          if (value != kIn64) continue;
          if (at + bytes - place < 8) fail("has a zip64 field that is too short");
          value = number<std::uint64_t>(place);
          place += 8;
        }
        return;
      }
      at += bytes;
    }
  }

  // What lies behind the local header, which must be the same entry's.
  std::span<const std::byte> content(std::string_view name, std::uint64_t local, std::uint64_t size,
                                     std::uint64_t limit) const {
    const std::string called = "entry \"" + printable(name) + "\"";
    if (local > limit || limit - local < kLocalBytes || number<std::uint32_t>(local) != kLocalMark)
      fail(called + " has no header where the directory says");
    const std::uint64_t name_size = number<std::uint16_t>(local + 26),
                        extra_size = number<std::uint16_t>(local + 28);
    if (limit - local - kLocalBytes < name_size + extra_size ||
        text(local + kLocalBytes, name_size) != name)
      fail(called + " has another name in its own header");
    const std::uint64_t begin = local + kLocalBytes + name_size + extra_size;
    if (size > limit - begin) fail(called + " is larger than the file");
    return file_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size));
  }

  std::span<const std::byte> file_;
  std::string_view thing_;
};

}  // namespace

ZipArchive::ZipArchive(std::span<const std::byte> file, std::string_view thing)
    : thing_(thing), entries_(Reader(file, thing).entries()) {
  std::ranges::sort(entries_, {}, &ZipEntry::name);
  const auto twin = std::ranges::adjacent_find(entries_, {}, &ZipEntry::name);
  if (twin != entries_.end())
    throw Error(ErrorKind::input, thing_, "has the entry \"" + printable(twin->name) + "\" twice");
}

const ZipEntry* ZipArchive::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(entries_, name, {}, &ZipEntry::name);
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

std::span<const std::byte> ZipArchive::checked(const ZipEntry& entry) const {
  if (entry.is_sound) return entry.bytes;
  if (!entry.is_stored)
    throw Error(
        ErrorKind::input, thing_,
        "entry \"" + printable(entry.name) + "\" is compressed, which torch.save never does",
        "write the file with torch.save");
  const auto* bytes = reinterpret_cast<const Bytef*>(entry.bytes.data());
  if (::crc32_z(0, bytes, entry.bytes.size()) != entry.crc32)
    throw Error(ErrorKind::input, thing_,
                "entry \"" + printable(entry.name) + "\" does not have its checksum",
                "the file is damaged, or was saved with set_crc32_options(False); save it again");
  entry.is_sound = true;
  return entry.bytes;
}

bool is_zip(std::span<const std::byte> file) {
  constexpr unsigned char kBegin[] = {'P', 'K', 3, 4};
  return file.size() >= sizeof kBegin && std::memcmp(file.data(), kBegin, sizeof kBegin) == 0;
}

}  // namespace kiln
