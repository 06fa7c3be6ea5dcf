#include "engine/serve/request_metrics.h"

#include <span>
#include <string>

#include "engine/core/check.h"

namespace kiln::serve {
namespace {

constexpr std::size_t kFirstStatus = 100;
constexpr std::string_view kNames[] = {"invocations", "infer", "other"};

Counter& of_status(std::span<Counter> counters, int status) {
  const auto place = static_cast<std::size_t>(status) - kFirstStatus;
  KILN_CHECK(place < counters.size());
  return counters[place];
}

void write_counts(MetricsPage& page, std::span<const Counter> counters, std::string_view endpoint) {
  for (std::size_t i = 0; i < counters.size(); ++i)
    if (const std::uint64_t count = counters[i].value(); count > 0)
      page.sample(count, {{"endpoint", endpoint}, {"code", std::to_string(i + kFirstStatus)}});
}

}  // namespace

void RequestMetrics::count(Endpoint endpoint, int status,
                           std::chrono::steady_clock::duration time) {
  PerEndpoint& own = endpoints_[static_cast<std::size_t>(endpoint)];
  of_status(own.by_status, status).add();
  own.seconds.observe(std::chrono::duration<double>(time).count());
}

void RequestMetrics::count_refusal(int status) { of_status(refused_, status).add(); }

void RequestMetrics::write(MetricsPage& page) const {
  page.family("kiln_requests_total", MetricsPage::Kind::counter, "Answered requests by status.");
  for (std::size_t e = 0; e < kEndpoints; ++e)
    write_counts(page, endpoints_[e].by_status, kNames[e]);
  write_counts(page, refused_, "refused");
  page.family("kiln_request_seconds", MetricsPage::Kind::histogram,
              "From the end of a request's body to its reply, before it is sent.");
  for (std::size_t e = 0; e < kEndpoints; ++e)
    page.sample(endpoints_[e].seconds, {{"endpoint", kNames[e]}});
}

}  // namespace kiln::serve
