#include "apps/common/environment.h"

#include <array>
#include <cstdio>
#include <memory>
#include <string_view>
#include <sys/utsname.h>

#include "engine/core/error.h"
#include "engine/core/thread_pool.h"
#include "kernels/cpu/isa.h"

namespace kiln {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#else
  return "GCC " __VERSION__;
#endif
}

utsname system_names() {
  utsname names{};
  ::uname(&names);
  return names;
}

}  // namespace

std::string version() { return KILN_VERSION; }

std::string instruction_set() { return std::string(cpu::name_of(cpu::isa())); }

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
  return system_names().machine;
}

std::vector<std::pair<std::string, std::string>> environment_info(int thread_count) {
  const utsname names = system_names();
  return {{"kiln", version()},
          {"processor", cpu_model()},
          {"CPUs available", std::to_string(ThreadPool::available_cpu_count())},
          {"threads", std::to_string(thread_count)},
          {"instruction set", instruction_set()},
          {"compiler", compiler()},
          {"build type", KILN_BUILD_TYPE},
          {"system", std::string(names.sysname) + " " + names.release + " " + names.machine}};
}

}  // namespace kiln
