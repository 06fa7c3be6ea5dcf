// The oneDNN plug-in as loaded: its function table and an owner for one primitive.
#pragma once

#include <memory>
#include <string>

#include "kernels/include/conv2d_shape.h"
#include "kernels/onednn/onednn_table.h"

namespace kiln::cpu {

// Looks for libkiln_onednn.so beside the executable and in ../lib. Returns nullptr with the reason
// in `why` where it is absent or speaks another version. The library stays loaded for the life of
// the process.
const KilnOnednnTable* load_onednn(std::string& why);

struct OnednnDestroy {
  const KilnOnednnTable* table = nullptr;
  void operator()(KilnOnednnConv* conv) const { table->destroy(conv); }
};

class OnednnConv {
 public:
  OnednnConv() = default;
  // Empty (false) with the reason in `why` where oneDNN has no fast code for the problem.
  OnednnConv(const KilnOnednnTable& table, const Conv2dShape& shape, KilnOnednnPass pass,
             bool has_bias, std::string& why);

  explicit operator bool() const { return conv_ != nullptr; }
  std::string algorithm() const { return table_->algorithm(conv_.get()); }
  std::size_t weights_bytes() const { return table_->weights_bytes(conv_.get()); }
  std::size_t scratchpad_bytes() const { return table_->scratchpad_bytes(conv_.get()); }
  // Throw std::logic_error where oneDNN refuses to run what it agreed to.
  void pack(const float* krsc, void* weights, void* scratchpad) const;
  void unpack(const void* weights, float* krsc, void* scratchpad) const;
  // Returns whether oneDNN ran: it is called where nothing may be thrown.
  bool run(const float* x, const void* weights, const float* bias, const float* y,
           void* scratchpad) const;

 private:
  const KilnOnednnTable* table_ = nullptr;
  std::unique_ptr<KilnOnednnConv, OnednnDestroy> conv_;
};

}  // namespace kiln::cpu
