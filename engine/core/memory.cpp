#include "engine/core/memory.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "engine/core/check.h"
#include "engine/core/planned_buffer.h"
#include "engine/core/transfer.h"

namespace kiln {
namespace {

constexpr int kGuardByte = 0xA5;
constexpr int kPoisonByte = 0xFF;  // all ones is a NaN in every floating type

std::size_t aligned(std::size_t size_bytes) {
  return (size_bytes + Buffer::kAlignment - 1) / Buffer::kAlignment * Buffer::kAlignment;
}

}  // namespace

Memory::Memory(MemoryPlan plan, Device device)
    : plan_(std::move(plan)),
      device_(device),
      arena_(
          planned_buffer("arena of activations and their gradients", device_, plan_.arena_bytes)),
      scratch_(planned_buffer("scratch memory of the ops", device_, plan_.scratch_bytes)) {
  if (!plan_.options.guards) return;
  for (const SlotPlan& slot : plan_.slots)
    fill_bytes(device_, arena_.data() + slot.offset + aligned(slot.size_bytes), kGuardByte,
               Planner::kGuardBytes);
}

Tensor Memory::operator[](Slot slot) const {
  const SlotPlan& plan = plan_.slots.at(static_cast<std::size_t>(slot.index));
  return {arena_.data() + plan.offset, plan.shape, plan.dtype, device_};
}

void Memory::after_ops(int begin_op, int end_op) const {
  if (plan_.options.guards) check_guards();
  if (plan_.options.poison) poison_ended(begin_op, end_op);
}

// A slot's bytes are poisoned only when no other slot holds them: neither one that took them over
// nor one that shares them and is alive now.
void Memory::poison_ended(int begin_op, int end_op) const {
  KILN_CHECK(!plan_.options.share);
  for (const SlotPlan& slot : plan_.slots) {
    const bool ended = std::ranges::any_of(slot.lives, [&](const Lifetime& life) {
      return life.last_op >= begin_op && life.last_op < end_op;
    });
    if (ended && !slot.pinned)
      fill_bytes(device_, arena_.data() + slot.offset, kPoisonByte, slot.size_bytes);
  }
}

// With sharing, a band may lie inside a neighbour that is alive later; so bands are checked only in
// a separate arena.
void Memory::check_guards() const {
  KILN_CHECK(!plan_.options.share);
  for (const SlotPlan& slot : plan_.slots) {
    std::array<std::byte, Planner::kGuardBytes> band;
    copy_to_host(device_, band.data(), arena_.data() + slot.offset + aligned(slot.size_bytes),
                 band.size());
    const bool whole =
        std::ranges::all_of(band, [](std::byte b) { return b == std::byte{kGuardByte}; });
    if (!whole) throw std::logic_error("guard band of slot " + slot.name + " was overwritten");
  }
}

}  // namespace kiln
