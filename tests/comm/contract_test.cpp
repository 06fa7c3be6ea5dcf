// The contract of communicators whose ranks can be threads of one test.
#include "tests/comm/contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/comm/thread_communicator.h"
#include "tests/comm/tcp_ranks.h"

namespace kiln::test {
namespace {

class Contract : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, Contract, testing::Values(1, 2, 3, 5));

TEST_P(Contract, ThreadsHoldIt) {
  run_thread_ranks({.size = GetParam()},
                   [](Communicator& c) { expect_contract(c, SumOrder::of_ranks); });
}

TEST_P(Contract, TcpHoldsIt) {
  const auto faults = run_tcp_ranks(
      {.size = GetParam()}, [](Communicator& c) { expect_contract(c, SumOrder::of_ranks); });
  EXPECT_THAT(faults, testing::Each(""));
}

}  // namespace
}  // namespace kiln::test
