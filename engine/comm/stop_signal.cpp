#include "engine/comm/stop_signal.h"

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace kiln {
namespace {

using Path = std::filesystem::path;

Path proc(pid_t process) { return Path("/proc") / std::to_string(process); }

// Empty where it has ended or is not ours.
Path program_of(pid_t process) {
  std::error_code failed;
  return std::filesystem::read_symlink(proc(process) / "exe", failed);
}

std::vector<pid_t> children_of(pid_t process) {
  std::vector<pid_t> children;
  std::error_code failed;
  for (const auto& thread : std::filesystem::directory_iterator(proc(process) / "task", failed)) {
    std::ifstream list(thread.path() / "children");
    for (pid_t child = 0; list >> child;) children.push_back(child);
  }
  return children;
}

}  // namespace

bool heeds_stop(pid_t process) {
  std::ifstream status(proc(process) / "status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("SigBlk:") && !line.starts_with("SigCgt:")) continue;
    const std::uint64_t mask = std::strtoull(line.c_str() + 7, nullptr, 16);
    if ((mask >> (SIGUSR1 - 1) & 1) != 0) return true;
  }
  return false;
}

// A rank is this program, or still mpirun's, which becomes it. ssh is neither.
bool launcher_heeds_stop(pid_t launcher, int local_ranks) {
  if (!heeds_stop(launcher)) return false;
  const std::vector<pid_t> children = children_of(launcher);
  const Path own = program_of(::getpid()), its = program_of(launcher);
  int ranks = 0;
  for (const pid_t child : children) {
    const Path program = program_of(child);
    if (program == its || (program == own && !heeds_stop(child))) return false;
    ranks += program == own ? 1 : 0;
  }
  return !children.empty() && ranks >= local_ranks;
}

}  // namespace kiln
