// MD5 (RFC 1321): compares files with published sums and names the content of a data set. No
// protection against forgery.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "engine/core/file.h"

namespace kiln {

class Md5 {
 public:
  void update(std::span<const std::uint8_t> bytes);
  // 32 hexadecimal digits; the sum is complete, no update may follow.
  std::string finish();

 private:
  void block(const std::uint8_t* bytes);

  std::array<std::uint32_t, 4> state_ = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  std::array<std::uint8_t, 64> pending_{};
  std::uint64_t total_bytes_ = 0;
};

std::string md5_of_file(const Path& path);

}  // namespace kiln
