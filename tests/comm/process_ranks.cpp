// What each rank that is a process does in tests/apps: the contract, over MPI where mpirun has
// started it, else over TCP as torchrun's variables say. Exit code 0 where all of it holds.
#include <cstdio>
#include <gtest/gtest.h>

#include "engine/comm/launch.h"
#include "engine/comm/mpi_communicator.h"
#include "engine/comm/tcp_communicator.h"
#include "tests/comm/contract.h"

namespace kiln::test {
namespace {

int run() {
  const RankEnvironment place = rank_environment();
  const bool tcp = place.launcher == RankEnvironment::Launcher::torchrun;
  const auto c = tcp ? make_tcp_communicator(meeting_place(place), {}) : make_mpi_communicator({});
  expect_contract(*c, tcp ? SumOrder::of_ranks : SumOrder::any);
  std::printf("rank %d of %d\n", c->rank(), c->size());
  return testing::UnitTest::GetInstance()->ad_hoc_test_result().Failed() ? 1 : 0;
}

}  // namespace
}  // namespace kiln::test

int main() {
  testing::InitGoogleTest();
  try {
    return kiln::test::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
