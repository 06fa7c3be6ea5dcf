// NarrowWire: a sum of f32 values over the ranks whose exchange has 16 bits an element.
//
//   s[i] = bf16(sum over r = 0, 1, ... of bf16(x_r[i]))
//
// bf16 rounds to nearest, ties to even; the sum runs in f32 in the order of the ranks, and every
// rank gets the same bits. Rank r adds up the r-th part of the elements: each rank sends the others
// their parts of its own values, then its part of the sum to all, so 2(n-1)/n times 2 bytes an
// element, half of what a sum in f32 sends at least.
//
// Error, with u = 2^-8 (half of a bf16's last place) and n ranks, where nothing is subnormal or
// infinite:
//
//   |s - sum_r x_r| <= u |sum_r x_r| + (1 + u) (u + (1 + u) n 2^-24) sum_r |x_r|
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/comm/communicator.h"
#include "engine/core/half.h"

namespace kiln {

class NarrowWire {
 public:
  // For up to `most_count` elements at a time. `communicator` must outlive it.
  NarrowWire(Communicator& communicator, std::int64_t most_count);

  // In place. Collective; allocates nothing.
  void all_reduce(std::span<float> values);

 private:
  Communicator& communicator_;
  std::vector<BFloat16> mine_, theirs_;
};

}  // namespace kiln
