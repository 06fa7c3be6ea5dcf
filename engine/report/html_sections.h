// The parts of report.html. Each returns markup, empty when the data has nothing for it.
#pragma once

#include <string>
#include <string_view>

#include "engine/report/html_report.h"

namespace kiln {

// The style sheet, light and dark, screen and print.
std::string_view report_style();

std::string synthetic_banner(const ReportData& data);
std::string title_block(const ReportData& data);
std::string key_figures(const ReportData& data);
std::string curve_section(const ReportData& data);
std::string confusion_section(const ReportData& data);
std::string picture_section(const ReportData& data);
std::string epoch_table_section(const ReportData& data);
std::string filter_section(const ReportData& data);
std::string settings_section(const ReportData& data);
std::string note_section(const ReportData& data);

// <section id="..."><h2>...</h2>...</section>; empty when `body` is.
std::string section(std::string_view id, std::string_view heading, std::string_view body);

}  // namespace kiln
