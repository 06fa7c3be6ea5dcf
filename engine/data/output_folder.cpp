#include "engine/data/output_folder.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "engine/core/error.h"

namespace kiln {
namespace {

[[noreturn]] void fail(const Path& path, const char* doing, int error_number) {
  throw Error(ErrorKind::io, printable(path.string(), 4096),
              std::string("cannot ") + doing + ": " + errno_text(error_number),
              error_number == ENOSPC ? "free some space or choose another folder" : "");
}

// "a/b/" and "a/b" name the same folder.
Path without_slash(const Path& path) {
  return path.has_filename() || !path.has_parent_path() ? path : path.parent_path();
}

Path parent_of(const Path& path) { return path.has_parent_path() ? path.parent_path() : Path("."); }

}  // namespace

OutputFolder::OutputFolder(const Path& target) : target_(without_slash(target)) {
  std::error_code error;
  const bool exists = std::filesystem::exists(std::filesystem::symlink_status(target_, error));
  if (exists &&
      !(std::filesystem::is_directory(target_, error) && std::filesystem::is_empty(target_, error)))
    throw Error(ErrorKind::usage, printable(target_.string(), 4096), "exists already",
                "name another folder or remove it");
  make_directories(parent_of(target_));
  std::string name =
      (parent_of(target_) / ("." + target_.filename().string())).string() + ".XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) fail(target_, "make the folder", errno);
  temporary_ = name;
  ::chmod(name.c_str(), 0755);
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove_all(temporary_, ignored);
}

void OutputFolder::write(const Path& name, std::span<const std::byte> bytes) const {
  const Path path = temporary_ / name;
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd) fail(target_ / name, "create", errno);
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail(target_ / name, "write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void OutputFolder::write(const Path& name, std::string_view text) const {
  write(name, std::as_bytes(std::span(text.data(), text.size())));
}

void OutputFolder::commit() {
  // One sync of the file system instead of one per file: 60,000 pictures would take minutes.
  const UniqueFd folder(::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::syncfs(folder.get()) != 0) fail(target_, "sync", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(target_, "rename", errno);
  committed_ = true;
  const UniqueFd parent(::open(parent_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent) ::fsync(parent.get());
}

}  // namespace kiln
