// Requests by status, and their seconds.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>

#include "engine/serve/metrics.h"

namespace kiln::serve {

enum class Endpoint { invocations, infer, other };

class RequestMetrics {
 public:
  // From any thread. `status` is one of HTTP's, 100 to 599.
  void count(Endpoint endpoint, int status, std::chrono::steady_clock::duration time);
  // Likewise, of what never became a request with a path.
  void count_refusal(int status);
  void write(MetricsPage& page) const;

 private:
  static constexpr std::size_t kEndpoints = 3, kStatuses = 500;

  using ByStatus = std::array<Counter, kStatuses>;

  struct PerEndpoint {
    ByStatus by_status;
    Histogram seconds{latency_bounds()};
  };
  std::array<PerEndpoint, kEndpoints> endpoints_;
  ByStatus refused_;
};

}  // namespace kiln::serve
