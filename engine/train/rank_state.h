// What the ranks of a run have in common: weights, statistics, the optimizer's state and the place
// in the run come from the first rank, and weights stay equal. All calls are collective.
#pragma once

#include <cstdint>

#include "engine/comm/communicator.h"
#include "engine/train/checkpoint.h"
#include "engine/train/evaluator.h"
#include "engine/train/lookahead.h"
#include "engine/train/optimizer.h"
#include "engine/train/parameters.h"

namespace kiln {

// What the first rank has, others have too. `lookahead` may be null; `seen`: pictures of the next
// step that the run has seen.
void share_state(Communicator& comm, ParameterStore& parameters, Optimizer& optimizer,
                 const Lookahead* lookahead, TrainPosition& position, std::int64_t& seen);

// Running means and variances are each rank's own in training; what is evaluated and saved is the
// first rank's.
void share_statistics(Communicator& comm, const ParameterStore& parameters);

// Throws Error (io) naming the first rank whose weights are others than those of rank 0; `step`:
// after which.
void check_equal_weights(Communicator& comm, const ParameterStore& parameters, std::int64_t step);

// The evaluation of the whole set out of each rank's part.
Evaluation add_up(Communicator& comm, Evaluation own);

}  // namespace kiln
