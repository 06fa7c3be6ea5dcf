// A file that grows by whole records: the log of a run that may be killed at any moment.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/core/file.h"

namespace kiln {

class AppendFile {
 public:
  // Opens or makes the file and cuts it to its first `keep_bytes`. Throws Error (io).
  AppendFile(const Path& path, std::uint64_t keep_bytes);

  // Appends in one write. When the system takes only a part (a full disk), that part is cut off
  // again and an Error (io) names the file and the reason.
  void append(std::string_view record);

  const Path& path() const { return path_; }

 private:
  [[noreturn]] void fail(std::string_view doing, int error_number) const;

  Path path_;
  UniqueFd fd_;
  std::uint64_t end_ = 0;
};

}  // namespace kiln
