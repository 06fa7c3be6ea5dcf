// Files read whole and written whole: a reader never sees half a file, a crash never leaves one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln {

using Path = std::filesystem::path;

// Reads a regular file. Throws Error (io, or input when the file exceeds `limit_bytes`) naming it.
std::vector<std::byte> read_file(const Path& path, std::uint64_t limit_bytes);
std::string read_text_file(const Path& path, std::uint64_t limit_bytes);

// Writes `bytes` to a temporary name in the same folder, fsyncs it, renames it over `path` and
// fsyncs the folder. On any failure the temporary is removed, the old file stays as it was, and an
// Error (io) names the path and the system's reason. What is there and is no regular file, such as
// a device or a pipe, is left alone and an Error, too.
void write_file_atomic(const Path& path, std::span<const std::byte> bytes);
void write_file_atomic(const Path& path, std::string_view text);
// The same for a file that lies in several pieces, which are written one behind the other.
void write_file_atomic(const Path& path, std::span<const std::span<const std::byte>> pieces);
// Throws what write_file_atomic would throw where it could not begin; for programs that work long
// before they write.
void check_writable(const Path& path);

// Makes the folder and its parents. Throws Error (io).
void make_directories(const Path& path);

// The names in a folder that do not begin with a dot, in order. Throws Error (io).
std::vector<std::string> names_in(const Path& folder);

// A file descriptor that closes itself.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();
  // Gives the descriptor up without closing it.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// A read-only memory map of a whole regular file; empty files map to an empty span.
class MappedFile {
 public:
  explicit MappedFile(const Path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace kiln
