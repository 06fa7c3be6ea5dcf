#include "engine/report/html_report.h"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/rng.h"
#include "engine/report/html_charts.h"
#include "engine/report/html_text.h"
#include "tests/report/markup_check.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

int count(std::string_view text, std::string_view part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

Picture noise(RandomSequence& random, int edge) {
  Picture picture{edge, edge, 3, {}};
  for (int i = 0; i < edge * edge * 3; ++i)
    picture.pixels.push_back(static_cast<std::uint8_t>(random.next_below(256)));
  return picture;
}

EpochMetrics epoch_record(int epoch) {
  EpochMetrics metrics;
  metrics.epoch = epoch;
  metrics.train_loss = 2.0 / epoch;
  metrics.test_loss = 2.1 / epoch;
  metrics.train_accuracy = 1.0 - 0.5 / epoch;
  metrics.test_accuracy = epoch == 2 ? 0.625 : 0.5;  // the best epoch is not the last one
  metrics.images_per_second = 10000 + epoch;
  metrics.learning_rate = 0.001;
  metrics.seconds = 4.8;
  return metrics;
}

// Every second sample right, every other taken for the next class.
ReportData sample_data(int epoch_count, int class_count, int sample_count, int picture_edge) {
  RandomSequence random(5, RandomStream::synthesise, 0);
  ReportData data;
  data.model_name = "lenet";
  data.data_name = "CIFAR-10";
  for (int i = 1; i <= epoch_count; ++i) data.epochs.push_back(epoch_record(i));
  for (int i = 1; i <= 10; ++i) data.steps.push_back({.step = i * 100, .loss = 1.0 / i});
  for (int k = 0; k < class_count; ++k) data.class_names.push_back("class" + std::to_string(k));
  for (int t = 0; t < class_count; ++t)
    for (int p = 0; p < class_count; ++p)
      data.confusion.push_back(t == p ? 90 : t == p + 1 ? 10 : 0);
  for (int i = 0; i < sample_count; ++i) {
    ReportSample sample{.picture = noise(random, picture_edge), .probabilities = {}, .name = {}};
    sample.true_class = i % class_count;
    sample.probabilities.assign(static_cast<std::size_t>(class_count), 0.01f);
    sample.probabilities[static_cast<std::size_t>((i + i % 2) % class_count)] = 0.8f;
    data.samples.push_back(std::move(sample));
  }
  data.parameter_count = 62006;
  data.total_seconds = 53.4;
  data.device = "cpu";
  data.thread_count = 2;
  data.configuration = {{"batch_size", "16"}};
  data.environment = {{"compiler", "GCC 12.2.0"}};
  data.notes = {"A note."};
  data.filters = noise(random, 16);
  return data;
}

class HtmlReportTest : public TempFolderTest {};

TEST_F(HtmlReportTest, ThePageIsSoundAndSaysWhatItWasGiven) {
  const ReportData data = sample_data(3, 10, 12, 32);
  write_html_report(folder() / "report.html", data);
  const std::string html = read_text_file(folder() / "report.html", 1 << 20);
  EXPECT_THAT(markup_faults(html), IsEmpty());
  for (const char* words : {"lenet", "CIFAR-10", "62,006", "batch_size", "GCC 12.2.0", "A note.",
                            "53.4", "2 threads", "50.00", "best 62.50", "10,003", "class9"})
    EXPECT_THAT(html, HasSubstr(words));
  EXPECT_THAT(html, Not(HasSubstr("http://")));
  EXPECT_THAT(html, Not(HasSubstr("https://")));
  EXPECT_THAT(html, Not(HasSubstr("Synthetic")));
}

TEST_F(HtmlReportTest, SplitsSamplesIntoRightAndWrong) {
  ReportData data = sample_data(2, 10, 13, 8);
  std::string html = html_report(data);
  EXPECT_THAT(html, HasSubstr("Right <small>7 pictures"));
  EXPECT_THAT(html, HasSubstr("Wrong <small>6 pictures"));
  EXPECT_EQ(count(html, "<span>taken for "), 6);
  EXPECT_EQ(count(html, "A picture of class class1, taken for class2 with a probability of 80"), 2);
  // The true class is among the bars even where the model gave it next to nothing.
  EXPECT_EQ(count(html, "<li class=\"true\">"), 13);
  data.samples_per_grid = 2;
  html = html_report(data);
  EXPECT_EQ(count(html, "class=\"sample\""), 4);
}

TEST_F(HtmlReportTest, EveryTextFromOutsideIsEscaped) {
  const std::string evil = "<img src=x onerror=alert(1)>\"'&\x1b\xff</style></script>";
  ReportData data = sample_data(2, 2, 4, 4);
  data.model_name = data.data_name = data.device = data.synthetic_note = evil;
  data.synthetic = true;
  data.class_names = {evil, evil + "2"};
  data.configuration = data.environment = {{evil, evil}};
  data.notes = {evil};
  for (ReportSample& sample : data.samples) sample.name = evil;
  const std::string html = html_report(data);
  EXPECT_THAT(markup_faults(html), IsEmpty());
  EXPECT_THAT(html, Not(HasSubstr("<img src=x")));
  EXPECT_THAT(html, Not(HasSubstr("\x1b")));
  EXPECT_THAT(html, Not(HasSubstr("\xff")));
  EXPECT_GT(count(html, "&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;\uFFFD\uFFFD&lt;/style"),
            20);
}

TEST_F(HtmlReportTest, SyntheticDataIsNamedInABannerAboveEverything) {
  ReportData data = sample_data(1, 2, 0, 4);
  data.synthetic = true;
  const std::string html = html_report(data);
  EXPECT_LT(html.find("Synthetic stand-in data"), html.find("<h1>"));
  EXPECT_THAT(html, HasSubstr("synthetic</em></h1>"));
}

TEST_F(HtmlReportTest, WhatIsNotThereIsLeftOut) {
  ReportData data;
  data.model_name = "m";
  data.data_name = "d";
  const std::string html = html_report(data);
  EXPECT_THAT(markup_faults(html), IsEmpty());
  for (const char* words : {"<section", "<svg", "<table", "<img", "<dl"})
    EXPECT_THAT(html, Not(HasSubstr(words)));
}

TEST_F(HtmlReportTest, ValuesThatAreNotFiniteLeaveGapsAndDashes) {
  ReportData data = sample_data(4, 3, 2, 4);
  for (EpochMetrics& epoch : data.epochs) epoch.test_loss = epoch.test_accuracy = std::nan("");
  data.epochs[1].train_loss = std::numeric_limits<double>::infinity();
  data.epochs[2].images_per_second = std::nan("");
  data.epochs[3].train_accuracy = 1e308;
  data.samples[0].probabilities[2] = std::nanf("");
  data.confusion.assign(9, 0);
  const std::string html = html_report(data);
  EXPECT_THAT(markup_faults(html), IsEmpty());
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf ")));
  EXPECT_THAT(html, HasSubstr("\u2013"));
}

TEST_F(HtmlReportTest, LongRunsAndManyClassesStaySmall) {
  const std::string usual = html_report(sample_data(10, 10, 40, 32));
  EXPECT_LT(usual.size(), 300'000u);
  const std::string large = html_report(sample_data(2000, 100, 60, 224));
  EXPECT_LT(large.size(), 500'000u);
  EXPECT_THAT(markup_faults(large), IsEmpty());
  EXPECT_LE(count(large, "<tr"), 200 + 2 + 201 + 10);
}

TEST_F(HtmlReportTest, ResumedEpochsAreMarkedInCurvesAndTable) {
  ReportData data = sample_data(5, 2, 0, 4);
  data.resumed_after_epochs = {3, 99};
  const std::string html = html_report(data);
  EXPECT_EQ(count(html, ">resumed</text>"), 3);  // loss, accuracy, learning rate
  EXPECT_EQ(count(html, "resumed after</small>"), 1);
}

TEST_F(HtmlReportTest, CountsThatDisagreeAreABug) {
  ReportData data = sample_data(1, 3, 1, 4);
  data.confusion.pop_back();
  EXPECT_THROW(html_report(data), std::logic_error);
  data = sample_data(1, 3, 1, 4);
  data.samples[0].true_class = 3;
  EXPECT_THROW(html_report(data), std::logic_error);
  data = sample_data(1, 3, 1, 4);
  data.samples[0].probabilities.pop_back();
  EXPECT_THROW(html_report(data), std::logic_error);
}

TEST(MarkupCheck, FindsTheFaultsItIsThereFor) {
  for (const char* bad :
       {"<p>", "</p>", "<p><b></p></b>", "<p class=a></p>", "<p id=\"a\"></p><i id=\"a\"></i>",
        "<a href=\"#gone\"></a>", "<a href=\"https://x\"></a>", "<img alt=\"a\" src=\"x.png\">",
        "<img src=\"data:image/png;base64,\">", "<script></script>", "<p onclick=\"\"></p>",
        "a & b", "a < b", "<style>a{background:url(x)}</style>", "<style>a{</style>"})
    EXPECT_THAT(markup_faults(bad), Not(IsEmpty())) << bad;
  EXPECT_THAT(markup_faults("<!doctype html><p id=\"a\">a &amp; b<br><a href=\"#a\">c</a></p>"),
              IsEmpty());
}

TEST(EscapeHtml, Cases) {
  EXPECT_EQ(escape_html("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(escape_html("Vögel \U0001F426\n"), "Vögel \U0001F426\n");
  const std::string replaced = "\uFFFD";
  EXPECT_EQ(escape_html("\x1b"), replaced);
  EXPECT_EQ(escape_html(std::string_view("\0", 1)), replaced);
  EXPECT_EQ(escape_html("\xff"), replaced);
  EXPECT_EQ(escape_html("\xc0\xaf"), replaced + replaced);                 // overlong slash
  EXPECT_EQ(escape_html("\xed\xa0\x80"), replaced + replaced + replaced);  // surrogate
  EXPECT_EQ(escape_html("\xf4\x90\x80\x80").size(), 12u);                  // beyond U+10FFFF
  EXPECT_EQ(escape_html("\xe2\x82"), replaced + replaced);                 // cut short
}

TEST(HtmlText, NumbersAsPeopleReadThem) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(62006), "62,006");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
  EXPECT_EQ(percent(0.6342), "63.4\u202F%");
  EXPECT_EQ(percent(std::nan("")), kNoNumber);
  EXPECT_EQ(duration(4.84), "4.8\u202Fs");
  EXPECT_EQ(duration(192), "3 min 12 s");
  EXPECT_EQ(duration(7500), "2 h 05 min");
  EXPECT_EQ(duration(-1), kNoNumber);
  EXPECT_EQ(fixed(1e308, 4).size(), 309 + 5u);
}

TEST(RoundTicks, AreRoundAndEnclose) {
  const auto ends = [](double low, double high) {
    const Ticks ticks = round_ticks(low, high, 5);
    return std::pair(ticks.first, ticks.last());
  };
  EXPECT_EQ(ends(0.8, 1.8), std::pair(0.8, 1.8));
  EXPECT_EQ(ends(0.0, 0.001), std::pair(0.0, 0.001));
  for (double low = -3.7; low < 4.0; low += 0.37)
    for (double width = 1e-6; width < 1e7; width *= 3.3) {
      const Ticks ticks = round_ticks(low, low + width, 5);
      EXPECT_LE(ticks.first, low + 1e-6 * width);
      EXPECT_GE(ticks.last(), low + width - 1e-6 * width);
      EXPECT_GE(ticks.count, 3);
      EXPECT_LE(ticks.count, 9);
      const double mantissa =
          ticks.step / std::pow(10.0, std::floor(std::log10(ticks.step) + 1e-9));
      EXPECT_THAT(std::lround(mantissa * 1e6), testing::AnyOf(1000000, 2000000, 5000000));
    }
}

TEST(ChartFigure, OnePointAndFlatLinesHaveRoom) {
  Chart chart;
  chart.id = "c";
  chart.title = "Loss";
  chart.x_name = "Epoch";
  chart.x = {1};
  chart.series = {{"a", {0.5}}};
  EXPECT_THAT(markup_faults(chart_figure(chart)), IsEmpty());
  EXPECT_EQ(count(chart_figure(chart), "<circle"), 1);
  chart.x = {1, 2, 3};
  chart.series = {{"a", {0.0, 0.0, 0.0}}, {"b", {0.0, std::nan(""), 0.0}}};
  const std::string flat = chart_figure(chart);
  EXPECT_THAT(flat, Not(HasSubstr("nan")));
  EXPECT_THAT(flat, HasSubstr("Epoch 2\na: 0.0000\nb: \u2013"));
  EXPECT_EQ(count(flat, "<circle"), 5);
  chart.series = {{"a", {std::nan(""), std::nan(""), std::nan("")}}};
  EXPECT_THAT(chart_figure(chart), HasSubstr("No values were recorded"));
}

}  // namespace
}  // namespace kiln
