// Ranks train one network only if they agree on everything that decides about it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/comm/communicator.h"

namespace kiln {

// Name and value of each thing that must be equal on all ranks, in one order on all of them.
using AgreedValues = std::vector<std::pair<std::string, std::string>>;

// Collective. Throws the same Error (usage) on every rank, naming the first rank that differs from
// rank 0, in what, and both values.
void check_agreement(Communicator& communicator, const AgreedValues& values);

}  // namespace kiln
