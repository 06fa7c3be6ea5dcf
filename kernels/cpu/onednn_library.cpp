#include "kernels/cpu/onednn_library.h"

#include <array>
#include <dlfcn.h>
#include <filesystem>
#include <system_error>

#include "engine/core/check.h"

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

OnednnConv::OnednnConv(const KilnOnednnTable& table, const Conv2dShape& s, KilnOnednnPass pass,
                       bool has_bias, std::string& why)
    : table_(&table) {
  const KilnOnednnShape shape{s.n,     s.h,          s.w,          s.c,        s.k,
                              s.r,     s.s,          s.stride_h,   s.stride_w, s.pad_h,
                              s.pad_w, s.dilation_h, s.dilation_w, s.groups,   has_bias ? 1 : 0};
  std::array<char, 200> error{};
  conv_ = {table.create(&shape, pass, error.data(), error.size()), OnednnDestroy{&table}};
  if (!conv_) why = error.data();
}

void OnednnConv::pack(const float* krsc, void* weights, void* scratchpad) const {
  KILN_CHECK(table_->pack(conv_.get(), krsc, weights, scratchpad) == 0);
}

void OnednnConv::unpack(const void* weights, float* krsc, void* scratchpad) const {
  KILN_CHECK(table_->unpack(conv_.get(), weights, krsc, scratchpad) == 0);
}

bool OnednnConv::run(const float* x, const void* weights, const float* bias, const float* y,
                     void* scratchpad) const {
  // The table's arguments are inputs or outputs by pass.
  return table_->run(conv_.get(), const_cast<float*>(x), const_cast<void*>(weights),
                     const_cast<float*>(bias), const_cast<float*>(y), scratchpad) == 0;
}

}  // namespace kiln::cpu
