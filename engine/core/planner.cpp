#include "engine/core/planner.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "engine/core/buffer.h"
#include "engine/core/check.h"

namespace kiln {
namespace {

std::size_t aligned(std::size_t size_bytes) {
  return (size_bytes + Buffer::kAlignment - 1) / Buffer::kAlignment * Buffer::kAlignment;
}

// The slot that owns the memory in which `slot` lies.
std::size_t owner_of(const std::vector<SlotPlan>& slots, std::size_t slot) {
  while (slots[slot].aliases) slot = static_cast<std::size_t>(slots[slot].aliases.index);
  return slot;
}

struct Block {
  std::size_t slot;
  std::size_t size_bytes;
  std::vector<Lifetime> lives;
  std::size_t offset = 0;
};

bool alive_together(const Block& a, const Block& b) {
  return std::ranges::any_of(a.lives, [&](const Lifetime& one) {
    return std::ranges::any_of(b.lives, [&](const Lifetime& other) {
      return one.first_op <= other.last_op && other.first_op <= one.last_op;
    });
  });
}

// The lowest offset at which `block` meets none of the placed blocks that are alive with it.
std::size_t lowest_free_offset(const Block& block, const std::vector<Block>& placed) {
  std::vector<const Block*> alive;
  for (const Block& other : placed)
    if (alive_together(block, other)) alive.push_back(&other);
  std::sort(alive.begin(), alive.end(),
            [](const Block* a, const Block* b) { return a->offset < b->offset; });
  std::size_t offset = 0;
  for (const Block* other : alive) {
    if (offset + block.size_bytes <= other->offset) break;
    offset = std::max(offset, other->offset + other->size_bytes);
  }
  return offset;
}

// One block per owner, alive as long as any slot that took over its memory.
std::vector<Block> blocks_of(const std::vector<SlotPlan>& slots, std::size_t band_bytes) {
  std::vector<Block> blocks;
  std::vector<std::size_t> block_of(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::size_t owner = owner_of(slots, i);
    if (owner == i) {
      block_of[i] = blocks.size();
      blocks.push_back({i, aligned(slots[i].size_bytes) + band_bytes, {}});
    }
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    std::vector<Lifetime>& lives = blocks[block_of[owner_of(slots, i)]].lives;
    lives.insert(lives.end(), slots[i].lives.begin(), slots[i].lives.end());
  }
  return blocks;
}

// Places the largest first (greedy by size, as in Pisarchyk and Lee, "Efficient memory management
// for deep neural net inference", 2020): within 1 % of the lower bound on the networks here.
std::size_t place(std::vector<SlotPlan>& slots, std::vector<Block> blocks, bool share) {
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const Block& a, const Block& b) { return a.size_bytes > b.size_bytes; });
  std::vector<Block> placed;
  std::size_t end = 0, arena_bytes = 0;
  for (Block& block : blocks) {
    block.offset = share ? lowest_free_offset(block, placed) : end;
    end = block.offset + block.size_bytes;
    arena_bytes = std::max(arena_bytes, end);
    slots[block.slot].offset = block.offset;
    placed.push_back(block);
  }
  for (std::size_t i = 0; i < slots.size(); ++i) slots[i].offset = slots[owner_of(slots, i)].offset;
  return arena_bytes;
}

}  // namespace

const Context& Planner::context() const {
  KILN_CHECK(context_ != nullptr);
  return *context_;
}

Slot Planner::define(std::string_view name, const Shape& shape, DType dtype) {
  SlotPlan slot;
  slot.name = name;
  slot.shape = shape;
  slot.dtype = dtype;
  slot.size_bytes = static_cast<std::size_t>(shape.element_count()) * size_of(dtype);
  slots_.push_back(std::move(slot));
  return {static_cast<int>(slots_.size()) - 1};
}

void Planner::pin(Slot slot) { slots_.at(static_cast<std::size_t>(slot.index)).pinned = true; }

void Planner::touch(Slot slot, bool is_write) {
  SlotPlan& plan = slots_.at(static_cast<std::size_t>(slot.index));
  const int op = op_count() - 1;
  const bool unnamed = plan.lives.empty();
  KILN_CHECK(is_write || plan.pinned || !unnamed);  // nothing is read before it is written
  if (unnamed || (is_write && plan.lives.back().last_op < op)) plan.lives.push_back({op, op});
  plan.lives.back().last_op = op;
}

void Planner::op(const OpSpec& spec) {
  op_names_.emplace_back(spec.name);
  for (const Slot slot : spec.reads)
    if (slot) touch(slot, false);
  for (const Slot slot : spec.updates)
    if (slot) touch(slot, false);
  for (const Slot slot : spec.writes)
    if (slot) touch(slot, true);
  scratch_bytes_ = std::max(scratch_bytes_, aligned(spec.scratch_bytes));
  const bool both = spec.reads.size() > 0 && spec.writes.size() > 0;
  if (spec.may_alias && both && *spec.reads.begin() && *spec.writes.begin())
    alias_requests_.push_back({*spec.writes.begin(), *spec.reads.begin(), op_count() - 1});
}

const Shape& Planner::shape(Slot slot) const {
  return slots_.at(static_cast<std::size_t>(slot.index)).shape;
}

DType Planner::dtype(Slot slot) const {
  return slots_.at(static_cast<std::size_t>(slot.index)).dtype;
}

MemoryPlan Planner::finish(const ArenaOptions& options) const {
  MemoryPlan plan{slots_, op_names_, 0, 0, scratch_bytes_, options};
  for (SlotPlan& slot : plan.slots) {
    if (slot.pinned) slot.lives = {{0, op_count()}};
    plan.separate_bytes += aligned(slot.size_bytes);
  }
  if (options.share) {
    for (const AliasRequest& request : alias_requests_) {
      const SlotPlan& read = plan.slots[static_cast<std::size_t>(request.read.index)];
      SlotPlan& write = plan.slots[static_cast<std::size_t>(request.write.index)];
      const bool free_after =
          !read.pinned && !write.pinned && read.lives.back().last_op == request.op;
      const bool new_there = write.lives.front().first_op == request.op;
      if (free_after && new_there && read.size_bytes == write.size_bytes)
        write.aliases = request.read;
    }
  }
  const std::size_t band_bytes = options.guards ? Planner::kGuardBytes : 0;
  plan.arena_bytes = place(plan.slots, blocks_of(plan.slots, band_bytes), options.share);
  return plan;
}

std::string to_table(const MemoryPlan& plan) {
  char line[256];
  std::snprintf(line, sizeof line, "%-36s %-22s %12s %12s %12s\n", "slot", "shape", "bytes",
                "offset", "ops");
  std::string table = line;
  for (const SlotPlan& slot : plan.slots) {
    std::string ops;
    for (const Lifetime& life : slot.lives)
      ops += (ops.empty() ? "" : ", ") + std::to_string(life.first_op) + "-" +
             std::to_string(life.last_op);
    std::snprintf(line, sizeof line, "%-36s %-22s %12zu %12zu %12s%s\n", slot.name.c_str(),
                  to_string(slot.shape).c_str(), slot.size_bytes, slot.offset, ops.c_str(),
                  slot.aliases ? " in place" : "");
    table += line;
  }
  std::snprintf(line, sizeof line, "arena %zu bytes (%zu without sharing), scratch %zu bytes\n",
                plan.arena_bytes, plan.separate_bytes, plan.scratch_bytes);
  return table + line;
}

}  // namespace kiln
