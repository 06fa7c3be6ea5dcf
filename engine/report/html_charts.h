// Line charts as inline SVG, styled by the page's style sheet (classes series-0, series-1, ...).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

struct ChartSeries {
  std::string name;
  std::vector<double> values;  // one per x; NaN interrupts the line
};

enum class ChartFormat { fixed, percent, significant };

struct Chart {
  std::string id;           // unique in the page
  std::string title;        // heading, and name for screen readers
  std::string description;  // what the curves say, in words
  std::string x_name;       // "Epoch"
  std::vector<double> x;    // rising whole numbers
  std::vector<ChartSeries> series;
  ChartFormat format = ChartFormat::fixed;
  std::vector<double> resumed_after;  // x behind which a dashed line says "resumed"
  int style = 0;                      // class number of the first series
};

// A <figure> with heading, legend and drawing; a paragraph when there is nothing to draw.
std::string chart_figure(const Chart& chart);

// Round numbers (1, 2 or 5 times a power of ten apart) that enclose [low, high], about
// `wanted_count` of them. Both ends must be finite, low <= high.
struct Ticks {
  double first = 0.0;
  double step = 1.0;
  int count = 2;
  double last() const { return first + step * (count - 1); }
};
Ticks round_ticks(double low, double high, int wanted_count);

}  // namespace kiln
