#include "engine/serve/request_metrics.h"

#include <string>

#include "engine/core/check.h"

namespace kiln::serve {
namespace {

constexpr std::string_view kNames[] = {"invocations", "infer", "other"};

}  // namespace

void RequestMetrics::count(Endpoint endpoint, int status,
                           std::chrono::steady_clock::duration time) {
  const auto place = static_cast<std::size_t>(status) - kFirstStatus;
  KILN_CHECK(place < kStatuses);
  PerEndpoint& own = endpoints_[static_cast<std::size_t>(endpoint)];
  own.by_status[place].add();
  own.seconds.observe(std::chrono::duration<double>(time).count());
}

void RequestMetrics::write(MetricsPage& page) const {
  page.family("kiln_requests_total", MetricsPage::Kind::counter, "Answered requests by status.");
  for (std::size_t e = 0; e < kEndpoints; ++e)
    for (std::size_t s = 0; s < kStatuses; ++s)
      if (const std::uint64_t count = endpoints_[e].by_status[s].value(); count > 0)
        page.sample(count, {{"endpoint", kNames[e]}, {"code", std::to_string(s + kFirstStatus)}});
  page.family("kiln_request_seconds", MetricsPage::Kind::histogram,
              "From the end of a request's body to its reply, before it is sent.");
  for (std::size_t e = 0; e < kEndpoints; ++e)
    page.sample(endpoints_[e].seconds, {{"endpoint", kNames[e]}});
}

}  // namespace kiln::serve
