#include "engine/core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <gtest/gtest.h>
#include <numeric>
#include <thread>
#include <vector>

namespace kiln {
namespace {

class ThreadPoolTest : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, RunsEveryChunkExactlyOnce) {
  ThreadPool pool(GetParam());
  for (const int chunk_count : {0, 1, 2, 3, 7, 64}) {
    std::vector<int> runs(static_cast<std::size_t>(chunk_count), 0);
    pool.parallel_for(chunk_count, [&](std::int64_t chunk) { ++runs[chunk]; });
    EXPECT_EQ(runs, std::vector<int>(static_cast<std::size_t>(chunk_count), 1));
  }
}

TEST_P(ThreadPoolTest, ManySmallJobsAddUp) {
  ThreadPool pool(GetParam());
  std::vector<std::int64_t> sums(16, 0);
  for (int job = 0; job < 2000; ++job)
    pool.parallel_for(16, [&](std::int64_t chunk) { sums[chunk] += chunk; });
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), std::int64_t{0}), 2000 * 120);
}

TEST_P(ThreadPoolTest, WakesWorkersThatFellAsleep) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::vector<int> runs(8, 0);
    pool.parallel_for_threads(
        8, [&](std::int64_t chunk, int thread) { runs[chunk] = thread < GetParam() ? 1 : 100; });
    EXPECT_EQ(std::accumulate(runs.begin(), runs.end(), 0), 8);
  }
}

// More chunks than one job's word can count are run in several jobs.
TEST_P(ThreadPoolTest, RunsMillionsOfChunksExactlyOnce) {
  ThreadPool pool(GetParam());
  std::vector<std::uint8_t> runs(2'500'000, 0);
  pool.parallel_for(static_cast<std::int64_t>(runs.size()),
                    [&](std::int64_t chunk) { ++runs[static_cast<std::size_t>(chunk)]; });
  EXPECT_EQ(std::count(runs.begin(), runs.end(), 1), static_cast<std::int64_t>(runs.size()));
}

// One chunk holds its thread until all others are done: with static ranges this would never end.
TEST_P(ThreadPoolTest, AThreadThatIsHeldUpDelaysOnlyItsOwnChunk) {
  ThreadPool pool(GetParam());
  std::atomic<int> done{0};
  pool.parallel_for(40, [&](std::int64_t chunk) {
    // One thread alone has nobody to take its chunks.
    while (chunk == 0 && GetParam() > 1 && done.load() < 39) std::this_thread::yield();
    ++done;
  });
  EXPECT_EQ(done.load(), 40);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 5));

TEST(ThreadPool, SeesAtLeastOneCpu) { EXPECT_GE(ThreadPool::available_cpu_count(), 1); }

}  // namespace
}  // namespace kiln
