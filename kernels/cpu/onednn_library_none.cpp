// For static programs, which cannot open plug-ins.
#include "kernels/cpu/onednn_library.h"

namespace kiln::cpu {

const KilnOnednnTable* load_onednn(std::string& why) {
  why = "this program is linked statically and opens no plug-in";
  return nullptr;
}

}  // namespace kiln::cpu
