// Writes the ZIP archives that models/zip_archive.h reads: stored entries, each beginning at a
// multiple of 64 bytes, no times in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "engine/core/file.h"

namespace kiln {

class ZipWriter {
 public:
  // `content` must live until write(). Throws Error (unsupported) from 4 GiB up.
  void add(const std::string& name, std::span<const std::byte> content);
  // Writes the file atomically. Throws Error (io).
  void write(const Path& path);

 private:
  void keep(std::string header);

  std::deque<std::string> headers_;
  std::vector<std::span<const std::byte>> pieces_;
  std::string directory_;
  std::uint64_t size_ = 0;
  std::uint16_t count_ = 0;
};

}  // namespace kiln
