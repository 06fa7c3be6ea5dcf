// ZIP archives of stored entries, as torch.save writes them: views into bytes in memory.
//
// Only what torch.save can have written is taken: one disk, stored (not compressed) entries (others
// may be there, but have no content), sizes and places from the central directory, with or without
// zip64 records. No entry may lie outside the file, two cannot have one name, and together they are
// no larger than the file, so that neither memory nor time goes beyond its size. Source: PKWARE,
// APPNOTE.TXT 6.3.10, 4.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

struct ZipEntry {
  std::string_view name;
  std::uint32_t crc32 = 0;
  bool is_stored = true;             // not compressed
  std::span<const std::byte> bytes;  // as they lie in the file
  mutable bool is_sound = false;     // `bytes` were compared with crc32
};

class ZipArchive {
 public:
  static constexpr std::uint64_t kMostEntries = 65'536;

  // `file` must outlive the archive; `thing` names it in errors. Throws Error (input).
  ZipArchive(std::span<const std::byte> file, std::string_view thing);

  std::span<const ZipEntry> entries() const { return entries_; }  // by name
  // nullptr when there is no entry of that name.
  const ZipEntry* find(std::string_view name) const;
  // The content of an entry, compared with its checksum once; by one thread at a time. Throws Error
  // (input) where they differ.
  std::span<const std::byte> checked(const ZipEntry& entry) const;

 private:
  std::string thing_;
  std::vector<ZipEntry> entries_;
};

// Whether a file that begins so is a ZIP archive.
bool is_zip(std::span<const std::byte> file);

}  // namespace kiln
