// Oracle of step_advance: the numbers of a step from those of the first one, without counting.
#pragma once

#include <cstdint>
#include <vector>

namespace kiln::reference {

// Where an epoch stands that began at step `first` with batch `begin`, `done` steps later; the rate
// is that of the batch, and after the last one stays.
struct StepPlace {
  std::uint64_t step = 0, batch = 0;
  double rate = 0;
};

inline StepPlace step_place(std::uint64_t first, std::uint64_t begin, std::uint64_t done,
                            const std::vector<double>& rates) {
  const std::uint64_t batch = begin + done;
  const std::uint64_t last = rates.size() - 1;
  return {first + done, batch, rates[batch < last ? batch : last]};
}

}  // namespace kiln::reference
