// Numbers that a server keeps about itself, and the text in which Prometheus reads them.
//
// Every object may be written and read by any number of threads; a page that is read while others
// write shows each number as it was at some moment.
//
// Source: prometheus.io, "Text-based exposition format", version 0.0.4.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln::serve {

class Counter {
 public:
  void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

// How often values fell at or below each of some bounds, and their sum.
class Histogram {
 public:
  // `bounds` rise; above the last lies infinity.
  explicit Histogram(std::vector<double> bounds);

  // A NaN is not counted.
  void observe(double value);

  struct Reading {
    std::vector<std::uint64_t> at_most;  // by bound, cumulative; the last entry is infinity's
    std::uint64_t count() const { return at_most.back(); }
    double sum = 0.0;
  };
  Reading read() const;
  std::span<const double> bounds() const { return bounds_; }

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;  // by bound, not cumulative
  std::atomic<double> sum_ = 0.0;
};

// 50 us to 10 s, in seconds: what serving a small network takes, and what overload makes of it.
std::vector<double> latency_bounds();
// 1, 2, 4 ... up to the first at or above `largest`.
std::vector<double> batch_bounds(std::int64_t largest);

// The page. A family is begun once; its samples follow.
class MetricsPage {
 public:
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";
  enum class Kind { counter, gauge, histogram };
  using Label = std::pair<std::string_view, std::string_view>;
  using Labels = std::initializer_list<Label>;

  void family(std::string_view name, Kind kind, std::string_view help);
  // Samples of the family begun last. Values of labels may hold any bytes; they are escaped.
  void sample(double value, Labels labels = {});
  void sample(std::uint64_t value, Labels labels = {});
  void sample(const Histogram& histogram, Labels labels = {});

  const std::string& text() const { return text_; }

 private:
  void line(std::string_view suffix, Labels labels, std::string_view bound, std::string_view value);

  std::string family_, text_;
};

}  // namespace kiln::serve
