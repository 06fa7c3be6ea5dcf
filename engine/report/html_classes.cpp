// What the model makes of the classes: confusion matrix, per-class accuracy, pictures.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/report/html_sections.h"
#include "engine/report/html_text.h"

namespace kiln {
namespace {

// A matrix of more classes than this is no longer read cell by cell.
constexpr std::size_t kMaxMatrixClasses = 30;
constexpr std::size_t kMaxClassRows = 200;
constexpr std::size_t kMaxConfusions = 8;
// Larger pictures are shrunk to this edge, so that forty of them stay below half a megabyte.
constexpr int kThumbnailEdge = 44;

std::int64_t count_of(const ReportData& data, std::size_t truth, std::size_t predicted) {
  return data.confusion[truth * data.class_names.size() + predicted];
}

std::int64_t row_total(const ReportData& data, std::size_t truth) {
  std::int64_t total = 0;
  for (std::size_t p = 0; p < data.class_names.size(); ++p) total += count_of(data, truth, p);
  return total;
}

double share(std::int64_t part, std::int64_t total) {
  return total == 0 ? std::nan("") : static_cast<double>(part) / static_cast<double>(total);
}

std::string bar(double fraction, std::string_view css_class) {
  const double width = std::isfinite(fraction) ? std::clamp(100.0 * fraction, 0.0, 100.0) : 0.0;
  return markup({"<i class=\"bar ", css_class,
                 "\" aria-hidden=\"true\"><i style=\"width:", fixed(width, 1), "%\"></i></i>"});
}

std::string matrix_cell(const ReportData& data, std::size_t truth, std::size_t predicted,
                        std::int64_t total) {
  const std::int64_t count = count_of(data, truth, predicted);
  if (count == 0) return "<td class=\"none\">0</td>";
  const double fraction = share(count, total);
  // The square root lifts rare confusions above the ground.
  const double strength = truth == predicted ? fraction : std::sqrt(fraction);
  const std::string tip =
      markup({escape_html(data.class_names[truth]), " taken for ",
              escape_html(data.class_names[predicted]), ": ", percent(fraction)});
  return markup({"<td class=\"", truth == predicted ? "hit" : "miss", strength > 0.6 ? " deep" : "",
                 "\" style=\"--a:", fixed(0.08 + 0.88 * strength, 2), "\" title=\"", tip, "\">",
                 grouped(count), "</td>"});
}

std::string matrix(const ReportData& data) {
  const std::size_t class_count = data.class_names.size();
  std::string head, rows;
  for (const std::string& name : data.class_names)
    head += markup({"<th scope=\"col\"><span>", escape_html(name), "</span></th>"});
  for (std::size_t truth = 0; truth < class_count; ++truth) {
    const std::int64_t total = row_total(data, truth);
    rows += markup({"<tr><th scope=\"row\">", escape_html(data.class_names[truth]), "</th>"});
    for (std::size_t p = 0; p < class_count; ++p) rows += matrix_cell(data, truth, p, total);
    const double accuracy = share(count_of(data, truth, truth), total);
    rows +=
        markup({"<td class=\"recall\">", percent(accuracy), bar(accuracy, "good"), "</td></tr>"});
  }
  return markup(
      {"<div class=\"card\"><p class=\"muted lead-in\" id=\"matrix-words\">Rows are the "
       "true classes, columns what the model said. Blue is right, orange is wrong; deeper "
       "is more.</p><div class=\"scroll\" tabindex=\"0\" role=\"region\" "
       "aria-label=\"Confusion matrix\"><table class=\"matrix\" "
       "aria-describedby=\"matrix-words\" style=\"--classes:",
       std::to_string(class_count),
       "\"><thead><tr><th scope=\"col\" class=\"corner\">true \u2193 said \u2192</th>", head,
       "<th scope=\"col\" class=\"recall\">accuracy</th></tr></thead><tbody>", rows,
       "</tbody></table></div></div>"});
}

std::string class_table(const ReportData& data) {
  std::string rows;
  const std::size_t shown = std::min(data.class_names.size(), kMaxClassRows);
  for (std::size_t truth = 0; truth < shown; ++truth) {
    const std::int64_t total = row_total(data, truth);
    const double accuracy = share(count_of(data, truth, truth), total);
    rows += markup({"<tr><th scope=\"row\">", escape_html(data.class_names[truth]), "</th><td>",
                    percent(accuracy), bar(accuracy, "good"), "</td><td>", grouped(total),
                    "</td></tr>"});
  }
  constexpr std::string_view kTop =
      "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"Accuracy of the classes\"><table class=\"numbers\"><caption>The first ";
  constexpr std::string_view kHead =
      " classes</caption><thead><tr><th scope=\"col\">Class</th><th scope=\"col\">Accuracy</th>"
      "<th scope=\"col\">Pictures</th></tr></thead><tbody>";
  return markup(
      {kTop, grouped(static_cast<std::int64_t>(shown)), kHead, rows, "</tbody></table></div>"});
}

struct Confusion {
  std::size_t truth, predicted;
  std::int64_t count;
};

std::string frequent_confusions(const ReportData& data) {
  std::vector<Confusion> all;
  for (std::size_t t = 0; t < data.class_names.size(); ++t)
    for (std::size_t p = 0; p < data.class_names.size(); ++p)
      if (t != p && count_of(data, t, p) > 0) all.push_back({t, p, count_of(data, t, p)});
  std::stable_sort(all.begin(), all.end(),
                   [](const Confusion& a, const Confusion& b) { return a.count > b.count; });
  if (all.empty()) return {};
  all.resize(std::min(all.size(), kMaxConfusions));
  std::string items;
  for (const Confusion& confusion : all) {
    const double fraction = share(confusion.count, row_total(data, confusion.truth));
    items += markup({"<li><span><b>", escape_html(data.class_names[confusion.truth]),
                     "</b> taken for <b>", escape_html(data.class_names[confusion.predicted]),
                     "</b></span><span>", grouped(confusion.count), " \u00b7 ", percent(fraction),
                     "</span>", bar(fraction, "bad"), "</li>"});
  }
  return markup({"<div class=\"card confusions\"><h3>Most frequent confusions</h3><ol>", items,
                 "</ol></div>"});
}

std::size_t predicted_class(const ReportSample& sample) {
  return static_cast<std::size_t>(
      std::max_element(sample.probabilities.begin(), sample.probabilities.end()) -
      sample.probabilities.begin());
}

// The three most probable classes; the true one takes the third place when it is not among them.
std::vector<std::size_t> shown_classes(const ReportSample& sample) {
  std::vector<std::size_t> order(sample.probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t shown = std::min<std::size_t>(3, order.size());
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return sample.probabilities[a] > sample.probabilities[b];
  });
  order.resize(shown);
  const auto truth = static_cast<std::size_t>(sample.true_class);
  if (std::find(order.begin(), order.end(), truth) == order.end()) order.back() = truth;
  return order;
}

std::string sample_card(const ReportData& data, const ReportSample& sample) {
  const auto truth = static_cast<std::size_t>(sample.true_class);
  const std::size_t said = predicted_class(sample);
  const std::string true_name = escape_html(data.class_names[truth]);
  const std::string said_name = escape_html(data.class_names[said]);
  const std::string probability = percent(static_cast<double>(sample.probabilities[said]), 0);
  std::string bars;
  for (const std::size_t k : shown_classes(sample)) {
    const double p = static_cast<double>(sample.probabilities[k]);
    bars += markup({"<li", k == truth ? " class=\"true\"" : "", "><span>",
                    escape_html(data.class_names[k]), "</span><span>", percent(p, 0), "</span>",
                    bar(p, k == truth ? "good" : "bad"), "</li>"});
  }
  const std::string alt = markup({"A picture of class ", true_name, ", taken for ", said_name,
                                  " with a probability of ", probability});
  const std::string caption =
      markup({"<b>", true_name, "</b>", said == truth ? "" : "<span>taken for ",
              said == truth ? "" : said_name, said == truth ? "" : "</span>"});
  return markup({"<figure class=\"sample\"", sample.name.empty() ? "" : " title=\"",
                 escape_html(sample.name), sample.name.empty() ? "" : "\"", "><img alt=\"", alt,
                 "\" src=\"", png_data_uri(shrink(sample.picture, kThumbnailEdge)),
                 "\"><figcaption>", caption, "</figcaption><ul>", bars, "</ul></figure>"});
}

std::string sample_grid(const ReportData& data, bool right) {
  std::string cards;
  int shown = 0;
  for (const ReportSample& sample : data.samples) {
    const bool is_right = predicted_class(sample) == static_cast<std::size_t>(sample.true_class);
    if (is_right != right || shown == data.samples_per_grid) continue;
    cards += sample_card(data, sample);
    ++shown;
  }
  if (cards.empty()) return {};
  return markup({"<h3 class=\"verdict ", right ? "right\">Right" : "wrong\">Wrong", " <small>",
                 grouped(shown), shown == 1 ? " picture" : " pictures",
                 "</small></h3><div class=\"samples\">", cards, "</div>"});
}

}  // namespace

std::string confusion_section(const ReportData& data) {
  if (data.confusion.empty()) return {};
  const bool small = data.class_names.size() <= kMaxMatrixClasses;
  return section("classes", "Right and wrong, class by class",
                 (small ? matrix(data) : class_table(data)) + frequent_confusions(data));
}

std::string picture_section(const ReportData& data) {
  return section("pictures", "Pictures", sample_grid(data, true) + sample_grid(data, false));
}

}  // namespace kiln
