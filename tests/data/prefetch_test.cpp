#include "engine/data/prefetch.h"

#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <thread>

namespace kiln {
namespace {

TEST(Prefetcher, GivesItemsInOrderForAnyNumberOfWorkers) {
  for (const int workers : {1, 2, 5}) {
    std::vector<std::int64_t> slots(4);
    Prefetcher prefetcher(workers, 4, [&](std::int64_t item, int slot) {
      if (item % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
      slots[static_cast<std::size_t>(slot)] = item;
    });
    prefetcher.stop();
    prefetcher.start(10, 60);
    for (std::int64_t item = 10; item < 60; ++item) {
      const int slot = prefetcher.take();
      ASSERT_GE(slot, 0);
      ASSERT_EQ(slots[static_cast<std::size_t>(slot)], item);
    }
    EXPECT_EQ(prefetcher.take(), -1);
    EXPECT_EQ(prefetcher.take(), -1);
  }
}

TEST(Prefetcher, LeavesTheSlotThatTheConsumerHolds) {
  std::vector<std::atomic<std::int64_t>> slots(2);
  Prefetcher prefetcher(
      2, 2, [&](std::int64_t item, int slot) { slots[static_cast<std::size_t>(slot)] = item; });
  prefetcher.start(0, 50);
  for (std::int64_t item = 0; item < 50; ++item) {
    const auto slot = static_cast<std::size_t>(prefetcher.take());
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    ASSERT_EQ(slots[slot], item);
  }
}

TEST(Prefetcher, RethrowsInOrderAndGoesOnAfterStop) {
  Prefetcher prefetcher(3, 4, [](std::int64_t item, int) {
    if (item == 5) throw std::runtime_error("item 5");
  });
  prefetcher.start(0, 20);
  for (int i = 0; i < 5; ++i) ASSERT_GE(prefetcher.take(), 0);
  EXPECT_THROW(prefetcher.take(), std::runtime_error);
  EXPECT_THROW(prefetcher.take(), std::runtime_error);
  prefetcher.stop();
  prefetcher.start(6, 8);
  EXPECT_GE(prefetcher.take(), 0);
  EXPECT_GE(prefetcher.take(), 0);
  EXPECT_EQ(prefetcher.take(), -1);
}

TEST(Prefetcher, StopsWithWorkUnderWay) {
  for (int round = 0; round < 20; ++round) {
    Prefetcher prefetcher(2, 3, [](std::int64_t, int) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    });
    prefetcher.start(0, 1'000'000'000);
    if (round % 2 == 0) prefetcher.take();
    if (round % 4 == 1) {
      prefetcher.stop();
      prefetcher.start(0, 3);
      ASSERT_GE(prefetcher.take(), 0);
    }
  }
}

TEST(Prefetcher, CountsTheWaiting) {
  Prefetcher prefetcher(
      1, 2, [](std::int64_t, int) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); });
  prefetcher.start(0, 2);
  prefetcher.take();
  EXPECT_GT(prefetcher.waited_seconds(), 0.0);
}

}  // namespace
}  // namespace kiln
