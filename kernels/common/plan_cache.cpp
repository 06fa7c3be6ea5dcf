#include "kernels/common/plan_cache.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "engine/core/check.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr std::uint64_t kMostBytes = 4096;
constexpr std::string_view kEnd = "\nend\n";

std::string head_of(const std::string& key) { return "kiln plan 1\n" + key + "\n"; }

// FNV-1a, 64 bits. Two keys of one hash only push each other out: a file holds its key.
std::string hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), hash, 16).ptr;
  return {digits.begin(), end};
}

// Gives the file the name that it is to have unless there is one already. False: there is one.
bool link_if_absent(const Path& from, const Path& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return true;
  if (errno == EEXIST) return false;
  throw Error(ErrorKind::io, to.string(), "cannot be linked: " + errno_text(errno));
}

}  // namespace

std::optional<Path> cache_folder(const std::function<const char*(const char*)>& variable) {
  const auto value = [&](const char* name) -> std::string {
    const char* text = variable(name);
    return text == nullptr ? "" : text;
  };
  if (const std::string own = value("KILN_CACHE_DIR"); !own.empty()) return own;
  if (const Path xdg = value("XDG_CACHE_HOME"); xdg.is_absolute()) return xdg / "kiln";
  if (const Path home = value("HOME"); !home.empty()) return home / ".cache" / "kiln";
  return std::nullopt;
}

PlanCache::PlanCache(std::optional<Path> folder, Log& log)
    : folder_(std::move(folder)), log_(&log) {}

Path PlanCache::path_of(const std::string& key) const {
  return *folder_ / "plans" / (hash_of(key) + ".txt");
}

std::optional<std::string> PlanCache::find(const std::string& key) {
  if (!folder_) return std::nullopt;
  const Path path = path_of(key);
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) return std::nullopt;
  try {
    const std::string text = read_text_file(path, kMostBytes), head = head_of(key);
    if (text.size() > head.size() + kEnd.size() && text.starts_with(head) && text.ends_with(kEnd)) {
      const std::string choice = text.substr(head.size(), text.size() - head.size() - kEnd.size());
      if (choice.find('\n') == std::string::npos) return choice;
    }
    log_->once(path.string() + ": is damaged or of another problem, it is ignored");
  } catch (const Error& error) {
    log_->once(std::string("a kept choice is ignored: ") + error.what());
  }
  return std::nullopt;
}

std::optional<std::string> PlanCache::keep(const std::string& key, const std::string& choice) {
  KILN_CHECK((key + choice).find('\n') == std::string::npos);
  if (!folder_) {
    log_->once("choices are not kept: none of KILN_CACHE_DIR, XDG_CACHE_HOME and HOME is set");
    return std::nullopt;
  }
  const Path path = path_of(key);
  std::string mine = path.string() + ".XXXXXX";
  try {
    make_directories(path.parent_path());
    const UniqueFd fd(::mkostemp(mine.data(), O_CLOEXEC));
    if (!fd) throw Error(ErrorKind::io, mine, "cannot be made: " + errno_text(errno));
    write_file_atomic(mine, head_of(key) + choice + std::string(kEnd));
    std::optional<std::string> kept = choice;
    if (!link_if_absent(mine, path)) kept = find(key);
    if (!kept) {  // what is there is of no use
      std::filesystem::rename(mine, path);
      return choice;
    }
    ::unlink(mine.c_str());
    return kept;
  } catch (const std::exception& error) {
    ::unlink(mine.c_str());
    log_->once(std::string("a choice is not kept: ") + error.what());
    return std::nullopt;
  }
}

void PlanCache::forget(const std::string& key) {
  std::error_code failed;
  if (folder_) std::filesystem::remove(path_of(key), failed);
}

}  // namespace kiln
