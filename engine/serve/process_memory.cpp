#include "engine/serve/process_memory.h"

#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <optional>
#include <string_view>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "engine/core/file.h"

namespace kiln::serve {
namespace {

// The number at `place` (0, 1, ...) of a file that the kernel makes; such files have no size.
std::optional<std::uint64_t> number_in(const char* path, int place) {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  char bytes[128];
  const ssize_t count = fd ? ::read(fd.get(), bytes, sizeof bytes) : -1;
  std::string_view text(bytes, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  for (; place > 0; --place) text.remove_prefix(std::min(text.size(), text.find(' ') + 1));
  std::uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
    return std::nullopt;  // such as "max"
  return value;
}

}  // namespace

std::uint64_t resident_bytes() {
  return number_in("/proc/self/statm", 1).value_or(0) *
         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t allowed_bytes() {
  struct sysinfo machine {};
  ::sysinfo(&machine);
  std::uint64_t allowed = std::uint64_t{machine.totalram} * machine.mem_unit;
  for (const char* limit :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"})
    allowed = std::min(allowed, number_in(limit, 0).value_or(allowed));
  return allowed;
}

}  // namespace kiln::serve
