// ByteSource: bytes in order, from a file as it is or through gzip.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/file.h"

namespace kiln::formats {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Up to out.size() bytes; 0 at the end alone. Throws Error (input or io) naming the file.
  virtual std::size_t read(std::span<std::uint8_t> out) = 0;
};

// Opens a file; one that starts with gzip's magic is decompressed on the way, member after member.
// Of a compressed file at most `limit_bytes` come out, so that a bomb costs time but no memory.
std::unique_ptr<ByteSource> open_source(const Path& path, std::uint64_t limit_bytes);
// Bytes in memory as open_source takes a file's; they must outlive the source; `path` is for
// messages.
std::unique_ptr<ByteSource> memory_source(const Path& path, std::span<const std::uint8_t> bytes,
                                          std::uint64_t limit_bytes);

// A file's bytes as they are.
std::unique_ptr<ByteSource> open_raw_source(const Path& path);

// Fills `out` or refuses the file as cut short.
void read_exactly(ByteSource& source, const Path& path, std::span<std::uint8_t> out);
// Everything that is left, at most `limit_bytes`.
std::vector<std::uint8_t> read_rest(ByteSource& source, const Path& path,
                                    std::uint64_t limit_bytes);

}  // namespace kiln::formats
