#include "engine/comm/thread_communicator.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <list>
#include <new>
#include <sys/resource.h>
#include <thread>

#include "engine/comm/agreement.h"
#include "engine/core/error.h"
#include "tests/support/sanitizers.h"

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

// All there is, until it goes out of scope.
std::list<std::array<char, 1000>> take_all_memory() {
  std::list<std::array<char, 1000>> taken;
  try {
    while (true) taken.emplace_back();
  } catch (const std::bad_alloc&) {
    return taken;
  }
}

// In a process of its own, with address space for the stacks of some of the threads.
[[noreturn]] void start_more_than_can_be(bool leave_memory) {
  rlimit little{};
  little.rlim_cur = little.rlim_max = rlim_t{1} << 29;
  ::setrlimit(RLIMIT_AS, &little);
  const auto fault =
      fault_of({.size = 1000, .deadline = std::chrono::hours(1)}, [&](Communicator& c) {
        std::list<std::array<char, 1000>> taken;
        if (!leave_memory && c.rank() == 1) taken = take_all_memory();
        c.barrier();
      });
  std::fputs(fault.c_str(), stderr);
  std::exit(0);
}

// Else it would be waited for until the deadline.
TEST(ThreadRanksFaults, AThreadThatCannotBeStartedIsNamed) {
  if (kWithSanitizer) GTEST_SKIP() << "a sanitizer needs more address space than there is here";
  EXPECT_EXIT(start_more_than_can_be(true), testing::ExitedWithCode(0),
              "rank [0-9]+: cannot be started as a thread: ");
}

TEST(ThreadRanksFaults, ItIsNamedWhereThereIsNoMemoryLeftEither) {
  if (kWithSanitizer) GTEST_SKIP() << "a sanitizer needs more address space than there is here";
  EXPECT_EXIT(start_more_than_can_be(false), testing::ExitedWithCode(0),
              "rank [0-9]+: cannot be started as a thread: ");
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
