#include "apps/common/environment.h"

#include <sys/utsname.h>

#include "engine/core/cpu_model.h"
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
