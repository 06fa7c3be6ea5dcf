// One call of a kernel with its arguments in place: planned when a program is made, bound to memory
// once, run without looking anything up.
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "engine/core/planner.h"
#include "engine/core/tensor.h"

namespace kiln::infer {

// Rows that lie in a slot under a shape of their own, so that a flatten costs nothing.
struct View {
  Slot slot;
  Shape shape;
};

// Where the slots of one plan lie. The first input and the last output are not in the arena: the
// session's own rows are read and written in place.
struct Places {
  const MemoryPlan* plan = nullptr;
  std::byte* arena = nullptr;
  std::byte* scratch = nullptr;
  Device device;
  Slot input, output;
  float* input_rows = nullptr;
  float* output_rows = nullptr;

  Tensor operator[](const View& view) const {
    return {at(view.slot), view.shape, DType::f32, device};
  }

 private:
  void* at(Slot slot) const {
    if (slot == input) return input_rows;
    if (slot == output) return output_rows;
    return arena + plan->slots[static_cast<std::size_t>(slot.index)].offset;
  }
};

class Node {
 public:
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  // Takes the addresses of this memory for every run that follows. Allocates nothing.
  virtual void bind(const Places& places) = 0;
  virtual void run(Context& context) const = 0;
};

}  // namespace kiln::infer
