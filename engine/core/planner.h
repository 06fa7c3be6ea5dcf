// Planner: who needs which memory, and from when to when.
//
// Layers `define` slots (named, shaped, not yet placed) and list their ops in the order in which
// they will run. A slot lives from the first op that names it to the last; where an op replaces
// what it held, it is dead between that op and the one before that named it. `finish` turns
// lifetimes into offsets of one arena: two slots share bytes only when their lifetimes do not meet.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/dtype.h"
#include "engine/core/shape.h"

namespace kiln {

class Context;

// A strong index; the default names no slot.
struct Slot {
  int index = -1;
  explicit operator bool() const { return index >= 0; }
  bool operator==(const Slot&) const = default;
};

// One step of the fixed program. `writes` replace, `updates` read and add; empty slots count for
// nothing.
struct OpSpec {
  std::string_view name;
  std::initializer_list<Slot> reads = {};
  std::initializer_list<Slot> writes = {};
  std::initializer_list<Slot> updates = {};
  std::size_t scratch_bytes = 0;
  // The op also works when writes[0] occupies the memory of reads[0]; granted only when nothing
  // reads that slot afterwards and both have the same size in bytes.
  bool may_alias = false;
};

// How the arena is laid out. The default shares; the others find bugs.
struct ArenaOptions {
  bool share = true;    // false: every slot has its own bytes
  bool poison = false;  // fill a slot with NaN bytes once its lifetime is over
  bool guards = false;  // a band of known bytes behind every slot, checked after every layer
};

// From the op that writes to the last one that reads.
struct Lifetime {
  int first_op, last_op;
};

struct SlotPlan {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  std::size_t size_bytes = 0;
  std::size_t offset = 0;
  std::vector<Lifetime> lives;  // in the order of the ops; empty where no op names the slot
  bool pinned = false;          // lives through the whole program: inputs and outputs of a step
  Slot aliases;                 // the slot whose memory this one took over, if any
};

struct MemoryPlan {
  std::vector<SlotPlan> slots;
  std::vector<std::string> op_names;
  std::size_t arena_bytes = 0;
  std::size_t separate_bytes = 0;  // what the arena would need without sharing
  std::size_t scratch_bytes = 0;
  ArenaOptions options;
};

class Planner {
 public:
  static constexpr std::size_t kGuardBytes = 64;

  // `context`: what the program will run under; scratch sizes depend on it. May be null where no
  // layer asks. It must outlive the planner.
  explicit Planner(DType dtype = DType::f32, const Context* context = nullptr)
      : dtype_(dtype), context_(context) {}

  // The floating type of the network's activations.
  DType dtype() const { return dtype_; }
  const Context& context() const;
  Slot define(std::string_view name, const Shape& shape) { return define(name, shape, dtype_); }
  Slot define(std::string_view name, const Shape& shape, DType dtype);
  // Keeps a slot's memory from the first to the last op of the program.
  void pin(Slot slot);
  void op(const OpSpec& spec);

  const Shape& shape(Slot slot) const;
  DType dtype(Slot slot) const;
  int op_count() const { return static_cast<int>(op_names_.size()); }

  MemoryPlan finish(const ArenaOptions& options = {}) const;

 private:
  struct AliasRequest {
    Slot write, read;
    int op;
  };

  void touch(Slot slot, bool is_write);

  DType dtype_;
  const Context* context_;
  std::vector<SlotPlan> slots_;
  std::vector<std::string> op_names_;
  std::vector<AliasRequest> alias_requests_;
  std::size_t scratch_bytes_ = 0;
};

// The plan as a table: slot, shape, bytes, offset, lifetime.
std::string to_table(const MemoryPlan& plan);

}  // namespace kiln
