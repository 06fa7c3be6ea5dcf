// Oracle of record_loss: the two sums of a batch. Long double, from the first to the last.
#pragma once

#include "tests/support/guards.h"

namespace kiln::reference {

struct Scored {
  double loss_sum = 0;
  long hit_count = 0;
};

inline Scored record_loss(const test::Values& loss, const test::Values& hit) {
  long double sum = 0;
  Scored scored;
  for (const double one : loss) sum += static_cast<long double>(one);
  for (const double one : hit) scored.hit_count += one != 0 ? 1 : 0;
  scored.loss_sum = static_cast<double>(sum);
  return scored;
}

}  // namespace kiln::reference
