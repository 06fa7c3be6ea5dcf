#include "engine/core/planner.h"

#include <cmath>
#include <gtest/gtest.h>

#include "engine/core/memory.h"

namespace kiln {
namespace {

TEST(Planner, SharesMemoryOnlyBetweenSlotsThatAreNeverAliveTogether) {
  Planner p;
  const Slot a = p.define("a", {100}), b = p.define("b", {100}), c = p.define("c", {100});
  p.op({.name = "make a", .writes = {a}});
  p.op({.name = "a to b", .reads = {a}, .writes = {b}});
  p.op({.name = "b to c", .reads = {b}, .writes = {c}});
  const MemoryPlan plan = p.finish();
  EXPECT_EQ(plan.slots[0].offset, plan.slots[2].offset);
  EXPECT_NE(plan.slots[0].offset, plan.slots[1].offset);
  EXPECT_EQ(plan.arena_bytes, 2u * 448u);
  EXPECT_EQ(plan.separate_bytes, 3u * 448u);
}

TEST(Planner, GrantsInPlaceOnlyWhenNothingReadsTheInputLater) {
  for (const bool read_later : {false, true}) {
    Planner p;
    const Slot x = p.define("x", {8}), y = p.define("y", {8}), z = p.define("z", {8});
    p.op({.name = "make", .writes = {x}});
    p.op({.name = "relu", .reads = {x}, .writes = {y}, .may_alias = true});
    if (read_later)
      p.op({.name = "add", .reads = {x, y}, .writes = {z}});
    else
      p.op({.name = "copy", .reads = {y}, .writes = {z}});
    const MemoryPlan plan = p.finish();
    EXPECT_EQ(plan.slots[0].offset == plan.slots[1].offset, !read_later);
    EXPECT_EQ(static_cast<bool>(plan.slots[1].aliases), !read_later);
  }
}

TEST(Planner, RefusesToReadWhatNobodyWrote) {
  Planner p;
  const Slot x = p.define("x", {8});
  EXPECT_THROW(p.op({.name = "read", .reads = {x}}), std::logic_error);
}

TEST(Planner, PinnedSlotsShareWithNobody) {
  Planner p;
  const Slot input = p.define("input", {16}), y = p.define("y", {16}), z = p.define("z", {16});
  p.pin(input);
  p.op({.name = "first", .reads = {input}, .writes = {y}});
  p.op({.name = "second", .reads = {y}, .writes = {z}});
  const MemoryPlan plan = p.finish();
  EXPECT_NE(plan.slots[0].offset, plan.slots[1].offset);
  EXPECT_NE(plan.slots[0].offset, plan.slots[2].offset);
}

TEST(Planner, BetweenItsLastReaderAndANewWriteASlotLeavesItsMemoryToOthers) {
  for (const bool read_between : {false, true}) {
    Planner p;
    const Slot x = p.define("x", {100}), y = p.define("y", {100}), z = p.define("z", {100});
    p.op({.name = "make x", .writes = {x}});
    p.op({.name = "x to y", .reads = {x}, .writes = {y}});
    p.op({.name = "y to z", .reads = {y}, .writes = {z}});
    p.op({.name = "use z", .reads = {z, read_between ? x : z}});
    p.op({.name = "make x again", .reads = {y}, .writes = {x}});
    p.op({.name = "use x again", .reads = {x}});
    const MemoryPlan plan = p.finish();
    EXPECT_EQ(plan.slots[0].lives.size(), 2u);
    EXPECT_EQ(plan.slots[0].offset == plan.slots[2].offset, !read_between);
    EXPECT_EQ(plan.arena_bytes, (read_between ? 3u : 2u) * 448u);
  }
}

TEST(Planner, WhatIsWrittenAgainIsNotTakenOver) {
  Planner p;
  const Slot x = p.define("x", {8}), y = p.define("y", {8});
  p.op({.name = "make x", .writes = {x}});
  p.op({.name = "relu", .reads = {x}, .writes = {y}, .may_alias = true});
  p.op({.name = "make x again", .reads = {y}, .writes = {x}});
  p.op({.name = "use both", .reads = {x, y}});
  const MemoryPlan plan = p.finish();
  EXPECT_NE(plan.slots[0].offset, plan.slots[1].offset);
}

TEST(Memory, GuardBandsFindAWriteBehindASlot) {
  Planner p;
  const Slot x = p.define("x", {16});
  p.op({.name = "make", .writes = {x}});
  const Memory memory(p.finish({.share = false, .guards = true}), Device{});
  EXPECT_NO_THROW(memory.after_ops(0, 1));
  memory[x].data<float>()[16] = 1.0f;
  EXPECT_THROW(memory.after_ops(0, 1), std::logic_error);
}

TEST(Memory, PoisonMakesASlotNanOnceItsLifetimeIsOver) {
  Planner p;
  const Slot x = p.define("x", {4}), y = p.define("y", {4});
  p.op({.name = "make", .writes = {x}});
  p.op({.name = "use", .reads = {x}, .writes = {y}});
  p.op({.name = "keep", .reads = {y}});
  const Memory memory(p.finish({.share = false, .poison = true}), Device{});
  memory[x].data<float>()[0] = 1.0f;
  memory.after_ops(0, 1);
  EXPECT_EQ(memory[x].data<float>()[0], 1.0f);
  memory.after_ops(1, 2);
  EXPECT_TRUE(std::isnan(memory[x].data<float>()[0]));
  EXPECT_EQ(memory[y].data<float>()[0], 0.0f);
}

TEST(Memory, PoisonsEveryLifeOfASlot) {
  Planner p;
  const Slot x = p.define("x", {4}), y = p.define("y", {4});
  p.op({.name = "make", .writes = {x}});
  p.op({.name = "use", .reads = {x}, .writes = {y}});
  p.op({.name = "make again", .reads = {y}, .writes = {x}});
  p.op({.name = "use again", .reads = {x}});
  const Memory memory(p.finish({.share = false, .poison = true}), Device{});
  for (const int first : {0, 2}) {
    memory[x].data<float>()[0] = 1.0f;
    memory.after_ops(first, first + 1);
    EXPECT_EQ(memory[x].data<float>()[0], 1.0f);
    memory.after_ops(first + 1, first + 2);
    EXPECT_TRUE(std::isnan(memory[x].data<float>()[0]));
  }
}

}  // namespace
}  // namespace kiln
