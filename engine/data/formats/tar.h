// TarReader: the regular files of a tar archive, one after another, from a stream. Names are text
// to compare with; nothing is ever written under them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/data/formats/gzip.h"

namespace kiln::formats {

struct TarEntry {
  std::string name;
  std::uint64_t size_bytes = 0;
};

class TarReader {
 public:
  // `source` must outlive the reader; `path` is for messages.
  TarReader(const Path& path, ByteSource& source) : path_(path), source_(source) {}

  // Skips what is left of the current file and goes to the next regular one; empty at the end.
  // Throws Error (input) for a wrong checksum, a size that is no number, or a cut archive.
  std::optional<TarEntry> next();
  // The next bytes of the current file; out.size() must not pass remaining_bytes().
  void read(std::span<std::uint8_t> out);
  std::uint64_t remaining_bytes() const { return remaining_bytes_; }

 private:
  bool next_header(TarEntry& entry, char& type);
  void skip(std::uint64_t count);

  Path path_;
  ByteSource& source_;
  std::uint64_t remaining_bytes_ = 0;
  std::uint64_t padding_bytes_ = 0;  // after the file, to a multiple of a block
};

}  // namespace kiln::formats
