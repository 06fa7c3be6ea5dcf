// The watch of ranks that meet by themselves; faults of ranks under way are those of the tests of
// communicators.
#include "engine/comm/rank_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kiln {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

// What a rank is told when it looks after the watch until there is something to tell.
std::string told(const RankWatch& watch) {
  for (;;) {
    try {
      watch.check();
    } catch (const Error& error) {
      return error.what();
    }
    std::this_thread::sleep_for(1ms);
  }
}

TEST(RankWatch, WhoDoesNotComeIsNamedByAll) {
  const WatchOptions options{.deadline = 500ms};
  auto first = std::make_unique<RankWatch>(3, options);
  std::string named;
  std::jthread second([&, address = first->address()] {
    RankWatch watch(1, 3, {.deadline = 60s});
    watch.connect(address);
    named = told(watch);
  });
  try {
    first->gather();
    ADD_FAILURE() << "rank 2 has not come";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("rank 2: did not come to rank 0"));
  }
  first.reset();
  second.join();
  EXPECT_THAT(named, HasSubstr("rank 2: did not come to rank 0"));
}

}  // namespace
}  // namespace kiln
