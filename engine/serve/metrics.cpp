#include "engine/serve/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>

#include "engine/core/check.h"

namespace kiln::serve {
namespace {

// The shortest digits that read back as the same number; the format's own words for the rest.
std::string digits_of(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

void append_escaped(std::string& to, std::string_view value, bool with_quotes) {
  for (const char c : value) {
    if (c == '\\')
      to += "\\\\";
    else if (c == '\n')
      to += "\\n";
    else if (c == '"' && with_quotes)
      to += "\\\"";
    else
      to += c;
  }
}

std::string_view word_for(MetricsPage::Kind kind) {
  switch (kind) {
    case MetricsPage::Kind::counter:
      return "counter";
    case MetricsPage::Kind::gauge:
      return "gauge";
    default:
      return "histogram";
  }
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)),
      counts_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1)) {
  KILN_CHECK(std::adjacent_find(bounds_.begin(), bounds_.end(), std::greater_equal<>{}) ==
             bounds_.end());
}

void Histogram::observe(double value) {
  if (std::isnan(value)) return;
  const auto place = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(place)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Reading Histogram::read() const {
  Reading reading;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= bounds_.size(); ++i) {
    total += counts_[i].load(std::memory_order_relaxed);
    reading.at_most.push_back(total);
  }
  reading.sum = sum_.load(std::memory_order_relaxed);
  return reading;
}

std::vector<double> latency_bounds() {
  return {50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3,
          50e-3, 100e-3, 250e-3, 500e-3, 1.0,  2.5,    5.0,  10.0};
}

std::vector<double> batch_bounds(std::int64_t largest) {
  std::vector<double> bounds = {1.0};
  while (bounds.back() < static_cast<double>(largest)) bounds.push_back(bounds.back() * 2);
  return bounds;
}

void MetricsPage::family(std::string_view name, Kind kind, std::string_view help) {
  family_ = name;
  text_.append("# HELP ").append(name).append(" ");
  append_escaped(text_, help, false);
  text_.append("\n# TYPE ").append(name).append(" ").append(word_for(kind)).append("\n");
}

void MetricsPage::sample(double value, Labels labels) { line("", labels, "", digits_of(value)); }

void MetricsPage::sample(std::uint64_t value, Labels labels) {
  line("", labels, "", std::to_string(value));
}

void MetricsPage::sample(const Histogram& histogram, Labels labels) {
  const Histogram::Reading reading = histogram.read();
  for (std::size_t i = 0; i < reading.at_most.size(); ++i) {
    const bool last = i == histogram.bounds().size();
    line("_bucket", labels, last ? "+Inf" : digits_of(histogram.bounds()[i]),
         std::to_string(reading.at_most[i]));
  }
  line("_sum", labels, "", digits_of(reading.sum));
  line("_count", labels, "", std::to_string(reading.count()));
}

void MetricsPage::line(std::string_view suffix, Labels labels, std::string_view bound,
                       std::string_view value) {
  text_.append(family_).append(suffix);
  char before = '{';
  const auto add = [&](std::string_view name, std::string_view label) {
    text_.append(1, before).append(name).append("=\"");
    append_escaped(text_, label, true);
    text_ += '"';
    before = ',';
  };
  for (const auto& [name, label] : labels) add(name, label);
  if (!bound.empty()) add("le", bound);
  if (before == ',') text_ += '}';
  text_.append(" ").append(value).append("\n");
}

}  // namespace kiln::serve
