#include "kernels/cpu/onednn_library.h"

#include <dlfcn.h>
#include <filesystem>
#include <system_error>

namespace kiln::cpu {

const KilnOnednnTable* load_onednn(std::string& why) {
  std::error_code failed;
  const auto executable = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto folder = executable.parent_path();
  const std::array folders{folder, folder / ".." / "lib"};
  void* library = nullptr;
  for (const auto& place : folders) {
    const auto path = place / "libkiln_onednn.so";
    if (!std::filesystem::exists(path, failed)) continue;
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    why = dlerror();
    return nullptr;
  }
  if (library == nullptr) {
    why = "libkiln_onednn.so is neither beside the program nor in ../lib";
    return nullptr;
  }
  const auto entry = reinterpret_cast<KilnOnednnEntry>(dlsym(library, KILN_ONEDNN_ENTRY));
  const KilnOnednnTable* table = entry == nullptr ? nullptr : entry(KILN_ONEDNN_ABI);
  if (table == nullptr || table->size_bytes < sizeof(KilnOnednnTable)) {
    why = "libkiln_onednn.so belongs to another version of kiln";
    return nullptr;
  }
  return table;
}

}  // namespace kiln::cpu
