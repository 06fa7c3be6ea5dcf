#include "engine/data/output_folder.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

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

UniqueFd open_folder(const Path& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

// A temporary folder of a process that is gone, held by the lock that it lost with its life.
struct Leftover {
  Path path;
  UniqueFd lock;
};

// Those of the folders `prefix`XXXXXX in `parent` that nobody holds any more.
std::vector<Leftover> find_leftovers(const Path& parent, const std::string& prefix) {
  std::vector<Leftover> found;
  std::error_code error;
  for (std::filesystem::directory_iterator at(parent, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.size() != prefix.size() + 6 || !name.starts_with(prefix)) continue;
    UniqueFd fd = open_folder(at->path());
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0 || info.st_uid != ::geteuid()) continue;
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) found.push_back({at->path(), std::move(fd)});
  }
  return found;
}

}  // namespace

OutputFolder::OutputFolder(const Path& target) : target_(without_slash(target)) {
  std::error_code error;
  const bool exists = std::filesystem::exists(std::filesystem::symlink_status(target_, error));
  if (exists &&
      !(std::filesystem::is_directory(target_, error) && std::filesystem::is_empty(target_, error)))
    throw Error(ErrorKind::usage, printable(target_.string(), 4096), "exists already",
                "name another folder or remove it");
  const Path parent = parent_of(target_);
  make_directories(parent);
  const std::string prefix = "." + target_.filename().string() + ".kiln-";
  std::string name = (parent / (prefix + "XXXXXX")).string();
  std::vector<Leftover> leftovers;
  {
    // Nobody looks for leftovers between the making of a folder and its lock.
    const UniqueFd guard = open_folder(parent);
    if (guard) ::flock(guard.get(), LOCK_EX);
    leftovers = find_leftovers(parent, prefix);
    if (::mkdtemp(name.data()) == nullptr) fail(target_, "make the folder", errno);
    temporary_ = name;
    alive_ = open_folder(temporary_);
    if (alive_) ::flock(alive_.get(), LOCK_EX | LOCK_NB);
  }
  ::chmod(name.c_str(), 0755);
  for (const Leftover& leftover : leftovers) std::filesystem::remove_all(leftover.path, error);
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
