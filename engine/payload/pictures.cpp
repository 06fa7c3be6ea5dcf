#include "engine/payload/pictures.h"

namespace kiln::payload {

void Pictures::keep() {
  if (lent.empty()) return;
  bytes.assign(lent.data(), lent.data() + lent.size());
  lent = {};
}

}  // namespace kiln::payload
