// What every communicator holds, of several ranks: the same checks for threads, TCP and MPI.
#pragma once

#include "engine/comm/communicator.h"

namespace kiln::test {

// The order in which a sum is added up: known, the order of the ranks; or any, the same on all.
enum class SumOrder { of_ranks, any };

// Collective. Faults are failures of the running test.
void expect_contract(Communicator& communicator, SumOrder order);

}  // namespace kiln::test
