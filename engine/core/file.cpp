#include "engine/core/file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "engine/core/error.h"

namespace kiln {
namespace {

[[noreturn]] void fail(const Path& path, std::string_view doing, int error_number) {
  std::string wrong = "cannot " + std::string(doing) + ": " + errno_text(error_number);
  std::string_view mend;
  if (error_number == ENOSPC) mend = "free some space or choose another folder";
  if (error_number == EACCES || error_number == EPERM) mend = "check the permissions";
  throw Error(ErrorKind::io, path.string(), wrong, mend);
}

UniqueFd open_regular(const Path& path, std::uint64_t& size_bytes) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) fail(path, "open", errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) fail(path, "stat", errno);
  if (!S_ISREG(info.st_mode))
    throw Error(ErrorKind::input, path.string(), "is not a regular file", "name a file");
  size_bytes = static_cast<std::uint64_t>(info.st_size);
  return fd;
}

void read_exactly(const Path& path, int fd, char* out, std::uint64_t count) {
  while (count > 0) {
    const ssize_t got = ::read(fd, out, count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, "read", errno);
    if (got == 0) throw Error(ErrorKind::input, path.string(), "shrank while it was read");
    out += got;
    count -= static_cast<std::uint64_t>(got);
  }
}

std::uint64_t checked_size(const Path& path, std::uint64_t size, std::uint64_t limit) {
  if (size > limit)
    throw Error(
        ErrorKind::input, path.string(),
        "has " + std::to_string(size) + " bytes, more than the limit of " + std::to_string(limit));
  return size;
}

int write_all(int fd, const char* data, std::size_t count) {
  while (count > 0) {
    const ssize_t put = ::write(fd, data, count);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    data += put;
    count -= static_cast<std::size_t>(put);
  }
  return 0;
}

// A new file that can be renamed to `path`. The rename would put a file into the place of a device
// or a pipe, too.
UniqueFd open_beside(const Path& path, std::string& name) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    throw Error(ErrorKind::io, path.string(), "is not a regular file", "name a file");
  name = path.string() + ".XXXXXX";
  UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) fail(path, "create", errno);
  return fd;
}

// A rename is durable only once the folder that holds the name is on the disk.
int sync_folder(const Path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno;
  return ::fsync(fd.get()) == 0 ? 0 : errno;
}

Path folder_of(const Path& path) { return path.has_parent_path() ? path.parent_path() : Path("."); }

int write_and_sync(int fd, std::span<const std::span<const std::byte>> pieces) {
  for (const std::span<const std::byte> piece : pieces)
    if (const int error = write_all(fd, reinterpret_cast<const char*>(piece.data()), piece.size()))
      return error;
  return ::fsync(fd) == 0 ? 0 : errno;
}

}  // namespace

std::vector<std::byte> read_file(const Path& path, std::uint64_t limit_bytes) {
  std::uint64_t size = 0;
  const UniqueFd fd = open_regular(path, size);
  std::vector<std::byte> bytes(checked_size(path, size, limit_bytes));
  read_exactly(path, fd.get(), reinterpret_cast<char*>(bytes.data()), bytes.size());
  return bytes;
}

std::string read_text_file(const Path& path, std::uint64_t limit_bytes) {
  std::uint64_t size = 0;
  const UniqueFd fd = open_regular(path, size);
  std::string text(checked_size(path, size, limit_bytes), '\0');
  read_exactly(path, fd.get(), text.data(), text.size());
  return text;
}

void check_writable(const Path& path) {
  std::string temporary;
  open_beside(path, temporary);
  ::unlink(temporary.c_str());
}

void write_file_atomic(const Path& path, std::span<const std::span<const std::byte>> pieces) {
  std::string temporary;
  UniqueFd fd = open_beside(path, temporary);
  int error = write_and_sync(fd.get(), pieces);
  if (error == 0 && ::fchmod(fd.get(), 0644) != 0) error = errno;
  fd.reset();
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    fail(path, "write", error);
  }
  if (const int sync_error = sync_folder(folder_of(path))) fail(path, "sync", sync_error);
}

void write_file_atomic(const Path& path, std::span<const std::byte> bytes) {
  write_file_atomic(path, std::span<const std::span<const std::byte>>(&bytes, 1));
}

void write_file_atomic(const Path& path, std::string_view text) {
  write_file_atomic(path, std::as_bytes(std::span(text.data(), text.size())));
}

void make_directories(const Path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail(path, "make the folder", error.value());
}

std::vector<std::string> names_in(const Path& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (open == nullptr) fail(folder, "read", errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(open.get()))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  if (errno != 0) fail(folder, "read", errno);
  std::ranges::sort(names);
  return names;
}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void UniqueFd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

MappedFile::MappedFile(const Path& path) {
  std::uint64_t size = 0;
  const UniqueFd fd = open_regular(path, size);
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) fail(path, "map", errno);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace kiln
