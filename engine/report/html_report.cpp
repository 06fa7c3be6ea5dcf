#include "engine/report/html_report.h"

#include <algorithm>

#include "engine/core/check.h"
#include "engine/report/html_sections.h"
#include "engine/report/html_text.h"

namespace kiln {
namespace {

// Nothing may be loaded and no script may run, even if a name slipped through the escaping.
constexpr std::string_view kPolicy =
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'\">";

constexpr std::string_view kHeadStart =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">";
constexpr std::string_view kViewport =
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<meta name=\"color-scheme\" content=\"light dark\">";
constexpr std::string_view kFooter =
    "<footer class=\"muted\">Written by kiln. This page loads nothing and runs no "
    "script.</footer>";

void check(const ReportData& data) {
  const std::size_t class_count = data.class_names.size();
  KILN_CHECK(data.confusion.empty() || data.confusion.size() == class_count * class_count);
  KILN_CHECK(std::all_of(data.confusion.begin(), data.confusion.end(),
                         [](std::int64_t count) { return count >= 0; }));
  for (const ReportSample& sample : data.samples) {
    KILN_CHECK(sample.probabilities.size() == class_count);
    KILN_CHECK(sample.true_class >= 0 && static_cast<std::size_t>(sample.true_class) < class_count);
  }
}

struct Part {
  std::string_view id, name;
  std::string content;
};

}  // namespace

std::string html_report(const ReportData& data) {
  check(data);
  const std::vector<Part> parts = {{"curves", "Curves", curve_section(data)},
                                   {"classes", "Classes", confusion_section(data)},
                                   {"pictures", "Pictures", picture_section(data)},
                                   {"epochs", "Epochs", epoch_table_section(data)},
                                   {"filters", "Filters", filter_section(data)},
                                   {"settings", "Settings", settings_section(data)},
                                   {"notes", "Notes", note_section(data)}};
  std::string links, body;
  for (const Part& part : parts) {
    if (part.content.empty()) continue;
    links += markup({"<a href=\"#", part.id, "\">", part.name, "</a>"});
    body += part.content;
  }
  const std::string title = markup({escape_html(data.model_name), " on ",
                                    escape_html(data.data_name), " \u00b7 kiln training report"});
  return markup({kHeadStart, kPolicy, kViewport, "<title>", title, "</title>\n<style>",
                 report_style(), "</style></head>\n<body>", synthetic_banner(data),
                 "<div class=\"page\">", title_block(data),
                 "<nav aria-label=\"Parts of this page\">", links, "</nav>\n<main>",
                 key_figures(data), body, "</main>", kFooter, "</div></body></html>\n"});
}

void write_html_report(const Path& path, const ReportData& data) {
  write_file_atomic(path, html_report(data));
}

}  // namespace kiln
