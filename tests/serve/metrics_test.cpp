#include "engine/serve/metrics.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <thread>

namespace kiln::serve {
namespace {

using Kind = MetricsPage::Kind;

TEST(Histogram, AValueOnABoundBelongsBelowIt) {
  Histogram h({0.5, 1.0, 2.0});
  for (const double value : {0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 100.0}) h.observe(value);
  const Histogram::Reading reading = h.read();
  EXPECT_EQ(reading.at_most, (std::vector<std::uint64_t>{2, 4, 6, 8}));
  EXPECT_EQ(reading.count(), 8u);
  EXPECT_DOUBLE_EQ(reading.sum, 108.25);
}

TEST(Histogram, LeavesOutWhatIsNoNumber) {
  Histogram h({1.0});
  h.observe(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(h.read().count(), 0u);
  EXPECT_EQ(h.read().sum, 0.0);
}

TEST(Histogram, LosesNothingBetweenThreads) {
  Histogram h({1.0, 2.0});
  Counter c;
  constexpr int kEach = 20'000;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        h.observe(t + 0.5);
        c.add(2);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(h.read().at_most, (std::vector<std::uint64_t>{kEach, 2 * kEach, 3 * kEach}));
  EXPECT_DOUBLE_EQ(h.read().sum, kEach * (0.5 + 1.5 + 2.5));
  EXPECT_EQ(c.value(), 6u * kEach);
}

TEST(Histogram, BoundsRise) {
  EXPECT_THROW(Histogram({1.0, 1.0}), std::logic_error);
  EXPECT_THROW(Histogram({2.0, 1.0}), std::logic_error);
  EXPECT_EQ(batch_bounds(1), (std::vector<double>{1}));
  EXPECT_EQ(batch_bounds(5), (std::vector<double>{1, 2, 4, 8}));
  EXPECT_EQ(batch_bounds(8), (std::vector<double>{1, 2, 4, 8}));
  EXPECT_NO_THROW(Histogram{latency_bounds()});
}

// The lines are those of the format's own description, written by hand.
TEST(MetricsPage, WritesTheFormat) {
  MetricsPage page;
  page.family("kiln_requests_total", Kind::counter, "Requests,\nby \\status");
  page.sample(std::uint64_t{12345678901234567890u}, {{"code", "200"}, {"model", "a\"b\\c\nd"}});
  page.family("kiln_queue", Kind::gauge, "Waiting");
  page.sample(0.25);
  page.sample(std::numeric_limits<double>::infinity());
  page.sample(-std::numeric_limits<double>::infinity());
  page.sample(std::nan(""));
  Histogram h({0.001, 0.5});
  h.observe(0.25);
  h.observe(7);
  page.family("kiln_seconds", Kind::histogram, "Time");
  page.sample(h, {{"model", "m"}});
  EXPECT_EQ(page.text(),
            "# HELP kiln_requests_total Requests,\\nby \\\\status\n"
            "# TYPE kiln_requests_total counter\n"
            "kiln_requests_total{code=\"200\",model=\"a\\\"b\\\\c\\nd\"} 12345678901234567890\n"
            "# HELP kiln_queue Waiting\n"
            "# TYPE kiln_queue gauge\n"
            "kiln_queue 0.25\n"
            "kiln_queue +Inf\n"
            "kiln_queue -Inf\n"
            "kiln_queue NaN\n"
            "# HELP kiln_seconds Time\n"
            "# TYPE kiln_seconds histogram\n"
            "kiln_seconds_bucket{model=\"m\",le=\"0.001\"} 0\n"
            "kiln_seconds_bucket{model=\"m\",le=\"0.5\"} 1\n"
            "kiln_seconds_bucket{model=\"m\",le=\"+Inf\"} 2\n"
            "kiln_seconds_sum{model=\"m\"} 7.25\n"
            "kiln_seconds_count{model=\"m\"} 2\n");
}

}  // namespace
}  // namespace kiln::serve
