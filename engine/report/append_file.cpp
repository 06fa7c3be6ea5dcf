#include "engine/report/append_file.h"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include "engine/core/error.h"

namespace kiln {

AppendFile::AppendFile(const Path& path, std::uint64_t keep_bytes)
    : path_(path),
      fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)),
      end_(keep_bytes) {
  if (!fd_) fail("open", errno);
  if (::ftruncate(fd_.get(), static_cast<off_t>(keep_bytes)) != 0) fail("cut", errno);
}

void AppendFile::append(std::string_view record) {
  std::size_t written = 0;
  while (written < record.size()) {
    const ssize_t put = ::pwrite(fd_.get(), record.data() + written, record.size() - written,
                                 static_cast<off_t>(end_ + written));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      const int error = put < 0 ? errno : ENOSPC;
      if (::ftruncate(fd_.get(), static_cast<off_t>(end_)) != 0) fail("cut", errno);
      fail("write", error);
    }
    written += static_cast<std::size_t>(put);
  }
  end_ += written;
}

void AppendFile::fail(std::string_view doing, int error_number) const {
  throw Error(ErrorKind::io, path_.native(),
              "cannot " + std::string(doing) + ": " + errno_text(error_number),
              error_number == ENOSPC ? "free some space or choose another folder" : "");
}

}  // namespace kiln
