// Memory: a plan with bytes behind it. Turns a slot into a tensor.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/planner.h"
#include "engine/core/tensor.h"

namespace kiln {

class Memory {
 public:
  Memory(MemoryPlan plan, Device device);

  Tensor operator[](Slot slot) const;
  // The scratch region. One call is in flight at a time, so every op uses it from its start.
  std::byte* scratch() const { return scratch_.data(); }
  std::size_t scratch_bytes() const { return plan_.scratch_bytes; }
  const MemoryPlan& plan() const { return plan_; }

  // Called by Layer after the op before `end_op` has run: poisons the slots that ended in
  // [begin_op, end_op) and checks the guard bands. Costs nothing unless the options ask for it.
  // Throws std::logic_error naming the slot whose band was overwritten.
  void after_ops(int begin_op, int end_op) const;

 private:
  void poison_ended(int begin_op, int end_op) const;
  void check_guards() const;

  MemoryPlan plan_;
  Device device_;
  Buffer arena_;
  Buffer scratch_;
};

}  // namespace kiln
