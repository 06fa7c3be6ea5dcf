#include "engine/comm/thread_communicator.h"

#include <algorithm>
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <span>
#include <thread>

#include "engine/comm/agreement.h"
#include "engine/core/error.h"

namespace kiln::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string fault_of(const ThreadRanksOptions& options,
                     const std::function<void(Communicator&)>& body) {
  try {
    run_thread_ranks(options, body);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no fault";
}

class ThreadRanks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, ThreadRanks, testing::Values(1, 2, 3, 4, 7));

std::vector<float> values_of(int rank, std::size_t count) {
  std::mt19937 random(static_cast<unsigned>(rank) + 1);
  std::vector<float> x(count);
  for (float& v : x) v = std::uniform_real_distribution<float>(-1, 1)(random);
  return x;
}

// The sum by rank order is what every rank gets, to the bit; counts are no multiples of anything.
TEST_P(ThreadRanks, AllReduceAddsInTheOrderOfTheRanks) {
  const int size = GetParam();
  for (const std::size_t count : {0u, 1u, 2u, 5u, 2047u, 2049u, 50021u}) {
    std::vector<float> expected = values_of(0, count);
    for (int rank = 1; rank < size; ++rank) {
      const std::vector<float> x = values_of(rank, count);
      for (std::size_t i = 0; i < count; ++i) expected[i] += x[i];
    }
    run_thread_ranks({.size = size}, [&](Communicator& c) {
      std::vector<float> x = values_of(c.rank(), count);
      c.all_reduce<float>(x);
      EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(x)),
                                     std::as_bytes(std::span<const float>(expected))));
    });
  }
}

// Many reductions under way, tested and waited for in an order of each rank's own.
TEST_P(ThreadRanks, ReductionsOverlapAndAreWaitedForInAnyOrder) {
  const int size = GetParam();
  run_thread_ranks({.size = size}, [&](Communicator& c) {
    std::mt19937 random(static_cast<unsigned>(c.rank()));
    std::vector<std::vector<double>> data(Communicator::kMostReductions);
    for (int round = 0; round < 20; ++round) {
      std::vector<Reduction> reductions;
      for (std::size_t i = 0; i < data.size(); ++i) {
        data[i].assign(1 + 37 * i, static_cast<double>(c.rank() + round) + static_cast<double>(i));
        reductions.push_back(c.start_all_reduce<double>(data[i]));
        if (random() % 2 == 0) reductions[random() % reductions.size()].test();
      }
      std::vector<std::size_t> order(data.size());
      std::iota(order.begin(), order.end(), 0u);
      std::ranges::shuffle(order, random);
      for (const std::size_t i : order) {
        reductions[i].wait();
        const double all = size * (round + static_cast<double>(i)) + size * (size - 1) / 2.0;
        for (const double v : data[i]) ASSERT_EQ(v, all);
      }
    }
  });
}

TEST_P(ThreadRanks, BroadcastGatherAndBarrier) {
  const int size = GetParam();
  std::atomic<int> arrived = 0;
  run_thread_ranks({.size = size}, [&](Communicator& c) {
    std::vector<std::int64_t> x(5, c.rank());
    c.broadcast<std::int64_t>(x, size - 1);
    EXPECT_THAT(x, testing::Each(size - 1));
    const std::int64_t mine[] = {c.rank(), -c.rank()};
    std::vector<std::int64_t> all(static_cast<std::size_t>(2 * size));
    c.all_gather<std::int64_t>(mine, all);
    for (int r = 0; r < size; ++r) EXPECT_EQ(all[static_cast<std::size_t>(2 * r + 1)], -r);
    std::vector<std::int64_t> for_each;
    for (int r = 0; r < size; ++r)
      for (const int i : {0, 1}) for_each.push_back(100 * c.rank() + 10 * r + i);
    c.all_to_all<std::int64_t>(for_each, all);
    for (int r = 0; r < size; ++r)
      for (const int i : {0, 1})
        EXPECT_EQ(all[static_cast<std::size_t>(2 * r + i)], 100 * r + 10 * c.rank() + i);
    const auto texts = all_gather_text(c, std::string(static_cast<std::size_t>(c.rank()), 'x'));
    for (int r = 0; r < size; ++r)
      EXPECT_EQ(texts[static_cast<std::size_t>(r)].size(), static_cast<std::size_t>(r));
    ++arrived;
    c.barrier();
    EXPECT_EQ(arrived, size);
  });
}

TEST(ThreadRanksFaults, WhatARankThrowsIsThrownAndEndsTheOthers) {
  std::atomic<int> told = 0;
  const std::string fault = fault_of({.size = 3}, [&](Communicator& c) {
    if (c.rank() == 1) throw Error(ErrorKind::input, "data set x", "is broken");
    try {
      c.barrier();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("rank 1: has failed: data set x: is broken"));
      ++told;
      throw;
    }
  });
  EXPECT_THAT(fault, HasSubstr("data set x: is broken"));
  EXPECT_EQ(told, 2);
}

TEST(ThreadRanksFaults, ARankThatDoesNotComeIsNamed) {
  const std::string fault = fault_of({.size = 3, .deadline = 200ms}, [](Communicator& c) {
    if (c.rank() == 2) std::this_thread::sleep_for(1s);
    c.barrier();
  });
  EXPECT_THAT(fault, HasSubstr("rank 2: did not come to barrier"));
}

TEST(ThreadRanksFaults, CallsThatDoNotFitAreAnError) {
  const std::string fault = fault_of({.size = 2}, [](Communicator& c) {
    std::vector<float> x(c.rank() == 0 ? 3 : 4);
    c.all_reduce<float>(x);
  });
  EXPECT_THAT(fault, HasSubstr("all_reduce of 3 f32"));
  EXPECT_THAT(fault, HasSubstr("all_reduce of 4 f32"));
}

TEST(Agreement, NamesTheRankAndWhatDiffers) {
  const auto run = [](const std::function<AgreedValues(int)>& values) {
    return fault_of({.size = 3}, [&](Communicator& c) { check_agreement(c, values(c.rank())); });
  };
  EXPECT_EQ(run([](int) { return AgreedValues{{"lr", "0.1"}, {"data", "a\nb"}}; }), "no fault");
  EXPECT_THAT(
      run([](int rank) {
        return AgreedValues{{"lr", "0.1"}, {"data", rank == 2 ? "5 pictures" : "6 pictures"}};
      }),
      HasSubstr("rank 2: has another data than rank 0: 5 pictures, not 6 pictures"));
  EXPECT_THAT(run([](int rank) {
                return rank == 1 ? AgreedValues{} : AgreedValues{{"lr", "0.1"}};
              }),
              HasSubstr("rank 1: knows other settings"));
}

}  // namespace
}  // namespace kiln::test
