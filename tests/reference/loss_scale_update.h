// Oracle of loss_scale_update. Straight from the definition, by named numbers.
#pragma once

#include <algorithm>

namespace kiln::reference {

struct LossScale {
  double scale = 65536;
  long good = 0, skipped = 0;

  void update(bool found, long growth_interval) {
    if (found) {
      *this = {std::max(scale * 0.5, 1.0), 0, skipped + 1};
      return;
    }
    if (++good < growth_interval) return;
    good = 0;
    scale = std::min(scale * 2, 16777216.0);
  }
};

}  // namespace kiln::reference
