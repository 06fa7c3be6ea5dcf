#include "engine/core/cpu_model.h"

#include <array>
#include <cstdio>
#include <memory>
#include <string_view>
#include <sys/utsname.h>

#include "engine/core/error.h"

namespace kiln {

std::string cpu_model() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/cpuinfo", "r"),
                                                             &std::fclose);
  std::array<char, 1024> line{};
  while (file && std::fgets(line.data(), line.size(), file.get()) != nullptr) {
    std::string_view text(line.data());
    if (!text.starts_with("model name")) continue;
    if (text.ends_with('\n')) text.remove_suffix(1);
    const std::size_t at = text.find(": ");
    if (at != text.npos) return printable(text.substr(at + 2));
  }
  utsname names{};
  ::uname(&names);
  return names.machine;
}

}  // namespace kiln
