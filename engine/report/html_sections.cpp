// Title, key figures, curves and tables of numbers.
#include "engine/report/html_sections.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/report/html_charts.h"
#include "engine/report/html_text.h"

namespace kiln {
namespace {

constexpr std::size_t kMaxTableRows = 200;
constexpr std::size_t kMaxFlatRows = 30;  // more of them scroll inside the page
constexpr std::size_t kMaxCurvePoints = 300;

std::string figure(std::string_view name, std::string_view value, std::string_view detail,
                   std::string_view css_class = "") {
  return markup({"<div class=\"figure ", css_class, "\"><dt>", name, "</dt><dd><b>", value,
                 "</b><span>", detail, "</span></dd></div>"});
}

const EpochMetrics* best_epoch(const ReportData& data) {
  const EpochMetrics* best = nullptr;
  for (const EpochMetrics& epoch : data.epochs)
    if (std::isfinite(epoch.test_accuracy) &&
        (best == nullptr || epoch.test_accuracy > best->test_accuracy))
      best = &epoch;
  return best;
}

std::string plural(std::int64_t count, std::string_view word) {
  return markup({grouped(count), " ", word, count == 1 ? "" : "s"});
}

double mean_speed(const ReportData& data) {
  double sum = 0.0;
  int count = 0;
  for (const EpochMetrics& epoch : data.epochs)
    if (std::isfinite(epoch.images_per_second)) {
      sum += epoch.images_per_second;
      ++count;
    }
  return count == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / count;
}

// The epochs that curves show: all, or every nth and the last.
std::vector<EpochMetrics> curve_epochs(const ReportData& data) {
  const std::size_t stride = (data.epochs.size() + kMaxCurvePoints - 1) / kMaxCurvePoints;
  std::vector<EpochMetrics> shown;
  for (std::size_t i = 0; i < data.epochs.size(); ++i)
    if (i % stride == 0 || i + 1 == data.epochs.size()) shown.push_back(data.epochs[i]);
  return shown;
}

std::vector<double> epoch_values(const ReportData& data, double EpochMetrics::*value) {
  std::vector<double> values;
  for (const EpochMetrics& epoch : curve_epochs(data)) values.push_back(epoch.*value);
  return values;
}

Chart epoch_chart(const ReportData& data, std::string id, std::string title) {
  Chart chart;
  chart.id = std::move(id);
  chart.title = std::move(title);
  chart.x_name = "Epoch";
  for (const EpochMetrics& epoch : curve_epochs(data))
    chart.x.push_back(static_cast<double>(epoch.epoch));
  for (const std::int64_t after : data.resumed_after_epochs)
    chart.resumed_after.push_back(static_cast<double>(after));
  return chart;
}

std::string first_to_last(std::string_view name, double first, double last, int digits) {
  return markup({name, " went from ", fixed(first, digits), " to ", fixed(last, digits), ". "});
}

std::string loss_chart(const ReportData& data) {
  Chart chart = epoch_chart(data, "loss", "Loss by epoch");
  chart.series = {{"training", epoch_values(data, &EpochMetrics::train_loss)},
                  {"test", epoch_values(data, &EpochMetrics::test_loss)}};
  const EpochMetrics &first = data.epochs.front(), &last = data.epochs.back();
  chart.description = first_to_last("Training loss", first.train_loss, last.train_loss, 4) +
                      first_to_last("Test loss", first.test_loss, last.test_loss, 4) +
                      "The table of epochs holds every value.";
  return chart_figure(chart);
}

std::string accuracy_chart(const ReportData& data) {
  Chart chart = epoch_chart(data, "accuracy", "Accuracy by epoch");
  chart.format = ChartFormat::percent;
  chart.series = {{"training", epoch_values(data, &EpochMetrics::train_accuracy)},
                  {"test", epoch_values(data, &EpochMetrics::test_accuracy)}};
  const EpochMetrics &first = data.epochs.front(), &last = data.epochs.back();
  chart.description = first_to_last("Training accuracy in percent", 100.0 * first.train_accuracy,
                                    100.0 * last.train_accuracy, 1) +
                      first_to_last("Test accuracy in percent", 100.0 * first.test_accuracy,
                                    100.0 * last.test_accuracy, 1) +
                      "The table of epochs holds every value.";
  return chart_figure(chart);
}

std::string rate_chart(const ReportData& data) {
  Chart chart = epoch_chart(data, "rate", "Learning rate by epoch");
  chart.format = ChartFormat::significant;
  chart.style = 2;
  chart.series = {{"learning rate", epoch_values(data, &EpochMetrics::learning_rate)}};
  const auto [low, high] =
      std::minmax_element(chart.series[0].values.begin(), chart.series[0].values.end());
  chart.description = "The learning rate lies between " + significant(*low, 4) + " and " +
                      significant(*high, 4) + ".";
  return chart_figure(chart);
}

// Neighbouring records are averaged until at most kMaxCurvePoints are left.
std::string step_chart(const ReportData& data) {
  if (data.steps.empty()) return {};
  const std::size_t stride = (data.steps.size() + kMaxCurvePoints - 1) / kMaxCurvePoints;
  Chart chart;
  chart.id = "steps";
  chart.title = "Training loss by step";
  chart.x_name = "Step";
  chart.style = 0;
  chart.series = {{"loss", {}}};
  for (std::size_t i = 0; i < data.steps.size(); i += stride) {
    const std::size_t end = std::min(i + stride, data.steps.size());
    double sum = 0.0;
    for (std::size_t j = i; j < end; ++j) sum += data.steps[j].loss;
    chart.x.push_back(static_cast<double>(data.steps[end - 1].step));
    chart.series[0].values.push_back(sum / static_cast<double>(end - i));
  }
  chart.description = "The training loss of single batches, recorded at every log interval.";
  if (stride > 1)
    chart.description += " Each point is the mean of " + std::to_string(stride) + " records.";
  return chart_figure(chart);
}

std::string epoch_row(const EpochMetrics& epoch, bool best, bool resumed_behind, bool waited) {
  const auto cell = [](std::string_view text) { return markup({"<td>", text, "</td>"}); };
  const std::string speed = std::isfinite(epoch.images_per_second)
                                ? grouped(std::llround(epoch.images_per_second))
                                : std::string(kNoNumber);
  return markup({"<tr", best ? " class=\"best\"" : "", "><th scope=\"row\">", grouped(epoch.epoch),
                 resumed_behind ? " <small>resumed after</small>" : "",
                 best ? " <small>best</small>" : "", "</th>", cell(fixed(epoch.train_loss, 4)),
                 cell(percent(epoch.train_accuracy, 2)), cell(fixed(epoch.test_loss, 4)),
                 cell(percent(epoch.test_accuracy, 2)), cell(speed),
                 cell(significant(epoch.learning_rate, 4)), cell(duration(epoch.seconds)),
                 waited ? cell(duration(epoch.waited_seconds)) : "", "</tr>"});
}

std::string pair_table(std::string_view heading, const std::vector<KeyValue>& pairs) {
  if (pairs.empty()) return {};
  std::string rows;
  for (const KeyValue& pair : pairs)
    rows += markup({"<tr><th scope=\"row\">", escape_html(pair.key), "</th><td>",
                    escape_html(pair.value), "</td></tr>"});
  return markup({"<div class=\"card pairs\"><h3>", heading, "</h3><table><tbody>", rows,
                 "</tbody></table></div>"});
}

}  // namespace

std::string section(std::string_view id, std::string_view heading, std::string_view body) {
  if (body.empty()) return {};
  return markup({"<section id=\"", id, "\"><h2>", heading, "</h2>", body, "</section>\n"});
}

std::string synthetic_banner(const ReportData& data) {
  if (!data.synthetic) return {};
  const std::string words =
      data.synthetic_note.empty()
          ? "The pictures were drawn by a program because no real data set was given. The figures "
            "below show that training works; they say nothing about real pictures."
          : data.synthetic_note;
  return markup({"<div class=\"banner\" role=\"note\"><strong>Synthetic stand-in data</strong> ",
                 escape_html(words), "</div>\n"});
}

std::string title_block(const ReportData& data) {
  std::string facts;
  const auto fact = [&](const std::string& text) {
    if (!facts.empty()) facts += " \u00b7 ";
    facts += escape_html(text);
  };
  if (!data.epochs.empty()) fact(plural(static_cast<std::int64_t>(data.epochs.size()), "epoch"));
  if (data.total_seconds > 0.0) fact("trained in " + duration(data.total_seconds));
  if (!data.device.empty()) fact("on " + data.device);
  if (data.thread_count > 0) fact(plural(data.thread_count, "thread"));
  for (const std::int64_t after : data.resumed_after_epochs)
    fact("resumed after epoch " + grouped(after));
  constexpr std::string_view kBrand =
      "<p class=\"brand\"><span class=\"mark\" aria-hidden=\"true\"></span>kiln "
      "<span>training report</span></p>";
  return markup({"<header class=\"top\">", kBrand, "<h1>", escape_html(data.model_name),
                 " <span>on</span> ", escape_html(data.data_name),
                 data.synthetic ? " <em class=\"chip\">synthetic</em>" : "",
                 "</h1><p class=\"muted\">", facts, "</p></header>\n"});
}

std::string key_figures(const ReportData& data) {
  std::string out;
  if (!data.epochs.empty()) {
    const EpochMetrics& last = data.epochs.back();
    const EpochMetrics* best = best_epoch(data);
    const std::string best_text = best == nullptr || best == &last
                                      ? "last epoch"
                                      : markup({"best ", percent(best->test_accuracy, 2),
                                                " in epoch ", grouped(best->epoch)});
    out += figure("Test accuracy", percent(last.test_accuracy, 2), best_text, "lead");
    out += figure("Test loss", fixed(last.test_loss, 4),
                  markup({"training ", fixed(last.train_loss, 4)}));
    const double speed = mean_speed(data);
    out += figure("Training speed",
                  std::isfinite(speed) ? grouped(std::llround(speed)) : std::string(kNoNumber),
                  "images a second");
  }
  if (data.total_seconds > 0.0)
    out += figure(
        "Total time", duration(data.total_seconds),
        data.epochs.empty() ? "" : plural(static_cast<std::int64_t>(data.epochs.size()), "epoch"));
  if (data.parameter_count > 0)
    out += figure("Parameters", grouped(data.parameter_count), "trained values");
  if (!data.device.empty())
    out += figure("Device", escape_html(data.device),
                  data.thread_count > 0 ? plural(data.thread_count, "thread") : "");
  return out.empty() ? out : markup({"<dl class=\"figures\">", out, "</dl>\n"});
}

std::string curve_section(const ReportData& data) {
  if (data.epochs.empty()) return {};
  return section("curves", "Learning curves",
                 markup({"<div class=\"charts\">", loss_chart(data), accuracy_chart(data),
                         step_chart(data), rate_chart(data), "</div>"}));
}

std::string epoch_table_section(const ReportData& data) {
  if (data.epochs.empty()) return {};
  const bool waited = std::any_of(data.epochs.begin(), data.epochs.end(), [](const auto& epoch) {
    return std::isfinite(epoch.waited_seconds);
  });
  const std::size_t stride = (data.epochs.size() + kMaxTableRows - 1) / kMaxTableRows;
  const EpochMetrics* best = best_epoch(data);
  std::string rows;
  for (std::size_t i = 0; i < data.epochs.size(); ++i) {
    const EpochMetrics& epoch = data.epochs[i];
    const bool shown = (i + 1) % stride == 0 || i + 1 == data.epochs.size() || &epoch == best;
    const auto& resumed = data.resumed_after_epochs;
    const bool resumed_behind =
        std::find(resumed.begin(), resumed.end(), epoch.epoch) != resumed.end();
    if (shown || resumed_behind) rows += epoch_row(epoch, &epoch == best, resumed_behind, waited);
  }
  std::string caption = "Every epoch\u2019s loss, accuracy and speed";
  if (stride > 1) caption = "Every " + std::to_string(stride) + "th epoch; metrics.jsonl holds all";
  const bool tall = data.epochs.size() > kMaxFlatRows;
  return section(
      "epochs", "Epochs and throughput",
      markup({"<div class=\"card\"><p class=\"muted lead-in\">", caption, "</p><div class=\"scroll",
              tall ? " tall" : "",
              "\" tabindex=\"0\" role=\"region\" aria-label=\"Epochs\"><table class=\"numbers\">"
              "<thead><tr><th scope=\"col\">Epoch</th><th scope=\"col\">Training loss</th>"
              "<th scope=\"col\">Training accuracy</th><th scope=\"col\">Test loss</th>"
              "<th scope=\"col\">Test accuracy</th><th scope=\"col\">Images/s</th>"
              "<th scope=\"col\">Learning rate</th><th scope=\"col\">Time</th>",
              waited ? "<th scope=\"col\">Waited for data</th>" : "", "</tr></thead><tbody>", rows,
              "</tbody></table></div></div>"}));
}

std::string filter_section(const ReportData& data) {
  if (data.filters.empty()) return {};
  return section(
      "filters", "First-layer filters",
      markup({"<figure class=\"card filters\"><img alt=\"Sheet of the first layer\u2019s "
              "filters\" src=\"",
              png_data_uri(data.filters),
              "\"><figcaption class=\"muted\">One tile a filter, each scaled on its own: "
              "mid-grey is a weight of zero.</figcaption></figure>"}));
}

std::string settings_section(const ReportData& data) {
  const std::string tables =
      pair_table("Configuration", data.configuration) + pair_table("Environment", data.environment);
  if (tables.empty()) return {};
  return section("settings", "How it was made", markup({"<div class=\"two\">", tables, "</div>"}));
}

std::string note_section(const ReportData& data) {
  std::string items;
  for (const std::string& note : data.notes) items += markup({"<li>", escape_html(note), "</li>"});
  if (items.empty()) return {};
  return section("notes", "Notes", markup({"<ul class=\"card notes\">", items, "</ul>"}));
}

}  // namespace kiln
