// A network for one size of batch: its nodes in order and the plan of the memory between them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/planner.h"
#include "engine/infer/model.h"
#include "engine/infer/node.h"

namespace kiln::infer {

class Program {
 public:
  // For the device, the thread count and the determinism of `context`. `model` must outlive it.
  Program(const Model& model, std::int64_t batch_size, const Context& context);

  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::int64_t batch_size() const { return batch_size_; }
  std::size_t arena_bytes() const { return plan_.arena_bytes; }
  std::size_t scratch_bytes() const { return plan_.scratch_bytes; }

  // The memory of its runs, at least as large as said above and 64-byte aligned. Programs that do
  // not run at the same time may share it.
  void place(std::byte* arena, std::byte* scratch);
  // f32 [batch_size, picture] to f32 [batch_size, outputs], both on the device. Allocates nothing.
  void run(Context& context, float* input_rows, float* output_rows);

 private:
  std::int64_t batch_size_;
  std::vector<std::unique_ptr<Node>> nodes_;
  MemoryPlan plan_;
  Places places_;
};

}  // namespace kiln::infer
