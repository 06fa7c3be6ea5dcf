#include <algorithm>

#include "apps/common/text.h"
#include "apps/speedrun/output.h"
#include "engine/report/html_charts.h"

namespace kiln {
namespace {

constexpr double kWidth = 640, kHeight = 420, kLeft = 76, kRight = 20, kTop = 44, kBottom = 56;

std::string number(double value) { return fixed_text(value, 1); }

// One axis: values to pixels.
class Axis {
 public:
  Axis(std::span<const double> values, double from, double to) : from_(from), to_(to) {
    const auto [low, high] = std::ranges::minmax(values);
    const double room = std::max((high - low) * 0.15, std::max(high, 1e-3) * 0.002);
    ticks_ = round_ticks(low - room, high + room, 5);
  }
  double at(double value) const {
    return from_ + (value - ticks_.first) / (ticks_.last() - ticks_.first) * (to_ - from_);
  }
  const Ticks& ticks() const { return ticks_; }
  double tick(int i) const { return ticks_.first + ticks_.step * i; }
  std::string label(int i) const {
    int digits = 0;
    for (double step = ticks_.step; step < 0.999 && digits < 4; step *= 10) ++digits;
    return fixed_text(tick(i), digits);
  }

 private:
  double from_, to_;
  Ticks ticks_;
};

std::string text_at(double x, double y, const std::string& text, const char* anchor) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\">" +
         text + "</text>\n";
}
std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) +
         "\" y2=\"" + number(y2) + "\" " + style + "/>\n";
}

std::string grid(const Axis& x, const Axis& y) {
  constexpr const char* kFaint = "stroke=\"#d8dce2\"";
  std::string svg;
  for (int i = 0; i < x.ticks().count; ++i) {
    const double at = x.at(x.tick(i));
    svg += line(at, kTop, at, kHeight - kBottom, kFaint);
    svg += text_at(at, kHeight - kBottom + 18, x.label(i), "middle");
  }
  for (int i = 0; i < y.ticks().count; ++i) {
    const double at = y.at(y.tick(i));
    svg += line(kLeft, at, kWidth - kRight, at, kFaint);
    svg += text_at(kLeft - 8, at + 4, y.label(i), "end");
  }
  return svg;
}

// The mean of both, and a standard deviation to each side.
std::string cross(const Axis& x, const Axis& y, const Statistic& seconds, const Statistic& hits) {
  constexpr const char* kStrong = "stroke=\"#b3371e\" stroke-width=\"2\"";
  const double mx = x.at(seconds.mean), my = y.at(hits.mean);
  return line(x.at(seconds.mean - seconds.deviation), my, x.at(seconds.mean + seconds.deviation),
              my, kStrong) +
         line(mx, y.at(hits.mean - hits.deviation), mx, y.at(hits.mean + hits.deviation), kStrong) +
         "<circle cx=\"" + number(mx) + "\" cy=\"" + number(my) +
         "\" r=\"3.5\" fill=\"#b3371e\"/>\n";
}

}  // namespace

std::string to_plot(const Series& series) {
  std::vector<double> seconds, accuracy;
  for (const RunResult& run : series.runs) {
    seconds.push_back(run.seconds());
    accuracy.push_back(run.accuracy * 100);
  }
  const Statistic time = statistic_of(seconds), hits = statistic_of(accuracy);
  const double ends[] = {time.mean - time.deviation, time.mean + time.deviation};
  const double tops[] = {hits.mean - hits.deviation, hits.mean + hits.deviation};
  std::vector<double> all_x = seconds, all_y = accuracy;
  all_x.insert(all_x.end(), std::begin(ends), std::end(ends));
  all_y.insert(all_y.end(), std::begin(tops), std::end(tops));
  const Axis x(all_x, kLeft, kWidth - kRight), y(all_y, kHeight - kBottom, kTop);
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 420\" width=\"640\" "
      "height=\"420\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#20242a\">\n"
      "<rect width=\"640\" height=\"420\" fill=\"#ffffff\"/>\n";
  svg += text_at(kLeft, 26,
                 std::to_string(series.runs.size()) + " runs: " + fixed_text(hits.mean, 2) +
                     " % (deviation " + fixed_text(hits.deviation, 2) + ") in " +
                     fixed_text(time.mean, 2) + " s (" + fixed_text(time.deviation, 2) + ")",
                 "start");
  svg += grid(x, y);
  for (std::size_t i = 0; i < seconds.size(); ++i)
    svg += "<circle cx=\"" + number(x.at(seconds[i])) + "\" cy=\"" + number(y.at(accuracy[i])) +
           "\" r=\"4\" fill=\"#2a63a8\" fill-opacity=\"0.65\"/>\n";
  svg += cross(x, y, time, hits);
  svg += text_at((kLeft + kWidth - kRight) / 2, kHeight - 14, "seconds by the clock", "middle");
  svg += "<text transform=\"translate(20 " + number((kTop + kHeight - kBottom) / 2) +
         ") rotate(-90)\" text-anchor=\"middle\">test accuracy, %</text>\n";
  return svg + "</svg>\n";
}

}  // namespace kiln
