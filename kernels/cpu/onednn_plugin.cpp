// What the plug-in's table does, as an object.
#include <array>

#include "engine/core/check.h"
#include "kernels/cpu/onednn_library.h"

namespace kiln::cpu {

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
