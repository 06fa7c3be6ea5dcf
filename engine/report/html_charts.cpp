#include "engine/report/html_charts.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/check.h"
#include "engine/report/html_text.h"

namespace kiln {
namespace {

// Units of the drawing. Text of 12 units stays readable from 330 pixels of width upwards.
constexpr double kWidth = 440.0, kHeight = 264.0;
constexpr double kLeft = 48.0, kRight = 14.0, kTop = 14.0, kBottom = 40.0;
constexpr std::size_t kMaxMarkedPoints = 40;
constexpr std::size_t kMaxHoverBands = 120;

// Beyond this a curve says nothing and coordinates lose their digits.
bool drawable(double value) { return std::abs(value) < 1e30; }

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(double value) {
    if (!drawable(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

// Where values lie in the drawing.
struct Scale {
  double x_low, x_high;
  Ticks y;

  double left(double x) const {
    return kLeft + (x - x_low) / (x_high - x_low) * (kWidth - kLeft - kRight);
  }
  double top(double value) const {
    return kTop + (y.last() - value) / (y.last() - y.first) * (kHeight - kTop - kBottom);
  }
};

std::string number(double value) { return fixed(value, 1); }

std::string value_text(ChartFormat format, double value) {
  if (format == ChartFormat::percent) return percent(value, 2);
  return format == ChartFormat::fixed ? fixed(value, 4) : significant(value, 4);
}

// As many digits as the distance between two ticks needs.
std::string tick_text(ChartFormat format, double value, double step) {
  if (std::abs(value) < step * 1e-6) value = 0.0;
  const double unit = format == ChartFormat::percent ? 100.0 * step : step;
  const int digits = std::clamp(static_cast<int>(-std::floor(std::log10(unit) + 1e-9)), 0, 8);
  if (format == ChartFormat::percent) return percent(value, digits);
  return digits > 4 || std::abs(value) >= 1e6 ? significant(value, 3) : fixed(value, digits);
}

Range y_range(const Chart& chart) {
  Range range;
  for (const ChartSeries& series : chart.series)
    for (const double value : series.values) range.add(value);
  return range;
}

Scale scale_of(const Chart& chart, const Range& y) {
  const double first = chart.x.front(), last = chart.x.back();
  const bool single = first == last;
  double low = y.low, high = y.high;
  // A rate is judged against zero; a flat line needs room around it.
  if (chart.format == ChartFormat::significant) low = std::min(low, 0.0);
  if (high - low <= 1e-9 * std::abs(high)) {
    const double margin = high == 0.0 ? 1.0 : 0.1 * std::abs(high);
    low -= margin;
    high += margin;
  }
  return {single ? first - 1.0 : first, single ? last + 1.0 : last, round_ticks(low, high, 5)};
}

std::string line(double x1, double y1, double x2, double y2, std::string_view css_class) {
  return markup({"<line class=\"", css_class, "\" x1=\"", number(x1), "\" y1=\"", number(y1),
                 "\" x2=\"", number(x2), "\" y2=\"", number(y2), "\"/>"});
}

std::string label(double x, double y, std::string_view css_class, std::string_view text) {
  return markup({"<text class=\"", css_class, "\" x=\"", number(x), "\" y=\"", number(y), "\">",
                 escape_html(text), "</text>"});
}

std::string axes(const Chart& chart, const Scale& scale) {
  std::string out;
  for (int i = 0; i < scale.y.count; ++i) {
    const double value = scale.y.first + scale.y.step * i;
    const double y = scale.top(value);
    out += line(kLeft, y, kWidth - kRight, y, "grid");
    out += label(kLeft - 7, y + 4, "tick-y", tick_text(chart.format, value, scale.y.step));
  }
  const double bottom = kHeight - kBottom;
  Ticks x = round_ticks(chart.x.front(), chart.x.back(), chart.x.back() < 10000 ? 8 : 5);
  x.step = std::max(x.step, 1.0);
  for (double value = std::ceil(chart.x.front() / x.step) * x.step; value <= chart.x.back();
       value += x.step) {
    out += line(scale.left(value), bottom, scale.left(value), bottom + 4, "axis");
    out += label(scale.left(value), bottom + 17, "tick-x",
                 grouped(static_cast<std::int64_t>(std::llround(value))));
  }
  out += line(kLeft, bottom, kWidth - kRight, bottom, "axis");
  out += label((kLeft + kWidth - kRight) / 2, kHeight - 5, "name-x", chart.x_name);
  return out;
}

// Pieces between interruptions; a lonely point has no line, so it always gets its marker.
std::string curve(const Chart& chart, std::size_t index, const Scale& scale) {
  const ChartSeries& series = chart.series[index];
  std::string path, points;
  bool pen_down = false;
  for (std::size_t i = 0; i < chart.x.size(); ++i) {
    if (!drawable(series.values[i])) {
      pen_down = false;
      continue;
    }
    const std::string x = number(scale.left(chart.x[i])), y = number(scale.top(series.values[i]));
    path += markup({pen_down ? "L" : "M", x, " ", y});
    const bool last = i + 1 == chart.x.size() || !drawable(series.values[i + 1]);
    if (chart.x.size() <= kMaxMarkedPoints || (!pen_down && last))
      points += markup({"<circle cx=\"", x, "\" cy=\"", y, "\" r=\"2.8\"/>"});
    pen_down = true;
  }
  const std::string style = std::to_string(chart.style + static_cast<int>(index));
  return markup(
      {"<g class=\"series series-", style, "\"><path d=\"", path, "\"/>", points, "</g>"});
}

// Full-height bands under the pointer: each tells all the values at its x.
std::string hover_bands(const Chart& chart, const Scale& scale) {
  std::string out;
  const std::size_t stride = (chart.x.size() + kMaxHoverBands - 1) / kMaxHoverBands;
  const auto edge = [&](std::size_t a, std::size_t b) {
    return scale.left((chart.x[a] + chart.x[b]) / 2);
  };
  for (std::size_t i = 0; i < chart.x.size(); i += stride) {
    const double from = i == 0 ? kLeft : edge(i - stride, i);
    const double to = i + stride >= chart.x.size() ? kWidth - kRight : edge(i, i + stride);
    std::string text = chart.x_name + " " + grouped(std::llround(chart.x[i]));
    for (const ChartSeries& series : chart.series)
      text += "\n" + series.name + ": " + value_text(chart.format, series.values[i]);
    out +=
        markup({"<rect class=\"band\" x=\"", number(from), "\" y=\"", number(kTop), "\" width=\"",
                number(std::max(to - from, 0.1)), "\" height=\"", number(kHeight - kTop - kBottom),
                "\"><title>", escape_html(text), "</title></rect>"});
  }
  return out;
}

std::string resume_marks(const Chart& chart, const Scale& scale) {
  std::string out;
  for (const double after : chart.resumed_after) {
    if (after < chart.x.front() || after > chart.x.back()) continue;
    const double x = scale.left(after);
    const bool near_right = x > kWidth - 80;
    out += line(x, kTop, x, kHeight - kBottom, "resumed");
    out += label(near_right ? x - 5 : x + 5, kTop + 14, near_right ? "note note-end" : "note",
                 "resumed");
  }
  return out;
}

std::string legend(const Chart& chart) {
  if (chart.series.size() < 2) return {};
  std::string out = "<span class=\"legend\">";
  for (std::size_t i = 0; i < chart.series.size(); ++i)
    out += markup({"<span class=\"key series-", std::to_string(chart.style + static_cast<int>(i)),
                   "\"><i></i>", escape_html(chart.series[i].name), "</span>"});
  return out + "</span>";
}

}  // namespace

Ticks round_ticks(double low, double high, int wanted_count) {
  KILN_CHECK(std::isfinite(low) && std::isfinite(high) && low <= high && wanted_count >= 2);
  if (low == high) high = low + 1.0;
  const double raw = (high - low) / (wanted_count - 1);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double ratio = raw / power;
  Ticks ticks;
  ticks.step = power * (ratio < 1.5 ? 1.0 : ratio < 3.5 ? 2.0 : ratio < 7.5 ? 5.0 : 10.0);
  ticks.first = std::floor(low / ticks.step + 1e-9) * ticks.step;
  ticks.count = static_cast<int>(std::ceil((high - ticks.first) / ticks.step - 1e-9)) + 1;
  return ticks;
}

std::string chart_figure(const Chart& chart) {
  for (const ChartSeries& series : chart.series) KILN_CHECK(series.values.size() == chart.x.size());
  const std::string heading =
      markup({"<figure class=\"card chart\"><figcaption><h3>", escape_html(chart.title), "</h3>"});
  const Range y = y_range(chart);
  if (chart.x.empty() || y.empty())
    return markup(
        {heading, "</figcaption><p class=\"muted\">No values were recorded.</p></figure>"});
  const Scale scale = scale_of(chart, y);
  std::string curves;
  for (std::size_t i = 0; i < chart.series.size(); ++i) curves += curve(chart, i, scale);
  return markup({heading,
                 legend(chart),
                 "</figcaption><svg viewBox=\"0 0 ",
                 fixed(kWidth, 0),
                 " ",
                 fixed(kHeight, 0),
                 "\" role=\"img\" aria-labelledby=\"",
                 chart.id,
                 "-t ",
                 chart.id,
                 "-d\"><title id=\"",
                 chart.id,
                 "-t\">",
                 escape_html(chart.title),
                 "</title><desc id=\"",
                 chart.id,
                 "-d\">",
                 escape_html(chart.description),
                 "</desc>",
                 axes(chart, scale),
                 resume_marks(chart, scale),
                 curves,
                 hover_bands(chart, scale),
                 "</svg></figure>"});
}

}  // namespace kiln
