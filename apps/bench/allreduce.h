// kiln bench allreduce: how long the ranks take to add buffers of many sizes, and whether the sums
// are right.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/comm/communicator.h"

namespace kiln {

struct AllreduceOptions {
  std::int64_t least_bytes = std::int64_t{1} << 10, most_bytes = std::int64_t{256} << 20;
  std::int64_t factor = 2;    // from one size to the next
  double seconds = 0.5;       // measured for each size, about
  bool asynchronous = false;  // started and waited for, as gradients are, not the blocking call
};

struct AllreduceResult {
  std::int64_t bytes = 0, elements = 0, repeats = 0;
  double microseconds = 0.0;         // median over the repeats, of the slowest rank
  double algorithm_bandwidth = 0.0;  // GB/s: bytes over time
  double bus_bandwidth = 0.0;        // GB/s: the same times 2 (n - 1) / n, what each rank must move
  std::int64_t wrong = 0;            // elements of all ranks that are not the sum
};

// Collective; the results are those of all ranks.
std::vector<AllreduceResult> measure_allreduce(Communicator& communicator,
                                               const AllreduceOptions& options);

std::string to_json(const std::vector<AllreduceResult>& results, const Communicator& communicator);
// nccl-tests' columns.
std::string to_table(const std::vector<AllreduceResult>& results, const Communicator& communicator);

}  // namespace kiln
