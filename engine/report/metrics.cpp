#include "engine/report/metrics.h"

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "engine/core/error.h"

namespace kiln {
namespace {

using Json = nlohmann::json;

// Some 50 bytes a step: five million recorded steps.
constexpr std::uint64_t kLimitBytes = std::uint64_t{256} << 20;

struct EpochField {
  const char* key;
  double EpochMetrics::*value;
};
constexpr std::array<EpochField, 7> kEpochFields{{
    {"train_loss", &EpochMetrics::train_loss},
    {"train_accuracy", &EpochMetrics::train_accuracy},
    {"test_loss", &EpochMetrics::test_loss},
    {"test_accuracy", &EpochMetrics::test_accuracy},
    {"images_per_second", &EpochMetrics::images_per_second},
    {"learning_rate", &EpochMetrics::learning_rate},
    {"seconds", &EpochMetrics::seconds},
}};

// The shortest digits that read back as the same double; JSON has no NaN and no infinity.
void append_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

double number_of(const Json& record, const char* key) {
  const Json& value = record.at(key);
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

struct Record {
  std::optional<EpochMetrics> epoch;
  std::optional<StepMetrics> step;
};

// Nothing when the line is not a record of ours.
std::optional<Record> parse_line(std::string_view line) try {
  // A shallow object has no callback depth above 1; deeper nesting is refused before it is built.
  const auto shallow = [](int depth, Json::parse_event_t event, Json&) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth > 0) throw std::out_of_range("nested");
    return true;
  };
  const Json json = Json::parse(line.begin(), line.end(), shallow);
  Record record;
  if (json.contains("epoch")) {
    EpochMetrics epoch{.epoch = json.at("epoch").get<std::int64_t>()};
    for (const EpochField& field : kEpochFields) epoch.*field.value = number_of(json, field.key);
    record.epoch = epoch;
  } else {
    record.step =
        StepMetrics{.step = json.at("step").get<std::int64_t>(), .loss = number_of(json, "loss")};
  }
  return record;
} catch (const Json::exception&) {
  return {};
} catch (const std::out_of_range&) {
  return {};
}

// Calls take(line number, record or nothing, offset behind the line) for every whole line until it
// returns false. A last line without its end was torn by a kill inside a write, and is left out.
template <class Take>
void each_line(std::string_view text, const Take& take) {
  std::size_t start = 0;
  for (std::int64_t number = 1; start < text.size(); ++number) {
    const std::size_t end = text.find('\n', start);
    if (end == std::string_view::npos) return;
    if (!take(number, parse_line(text.substr(start, end - start)), end + 1)) return;
    start = end + 1;
  }
}

bool is_before(const Record& record, const ResumePoint& resume) {
  if (record.epoch) return record.epoch->epoch <= resume.epoch;
  return record.step->step <= resume.step;
}

// Length of the longest run of readable records that the checkpoint had seen.
std::uint64_t kept_bytes(const Path& path, const std::optional<ResumePoint>& resume,
                         std::uint64_t& dropped, std::uint64_t& unreadable) {
  if (!resume || !std::filesystem::exists(path)) return 0;
  const std::string text = read_text_file(path, kLimitBytes);
  std::uint64_t kept = 0;
  bool later_record = false;
  each_line(text, [&](std::int64_t, const std::optional<Record>& record, std::size_t end) {
    if (!record) return false;
    later_record = !is_before(*record, *resume);
    if (!later_record) kept = end;
    return !later_record;
  });
  dropped = text.size() - kept;
  unreadable = later_record ? 0 : dropped;
  return kept;
}

}  // namespace

std::string to_json_line(const EpochMetrics& metrics) {
  std::string line = "{\"epoch\":" + std::to_string(metrics.epoch);
  for (const EpochField& field : kEpochFields) {
    line += ",\"";
    line += field.key;
    line += "\":";
    append_number(line, metrics.*field.value);
  }
  return line + "}\n";
}

std::string to_json_line(const StepMetrics& metrics) {
  std::string line = "{\"step\":" + std::to_string(metrics.step) + ",\"loss\":";
  append_number(line, metrics.loss);
  return line + "}\n";
}

MetricsWriter::MetricsWriter(const Path& path, const std::optional<ResumePoint>& resume)
    : file_(path, kept_bytes(path, resume, dropped_bytes_, unreadable_bytes_)) {}

void MetricsWriter::write(const EpochMetrics& metrics) { file_.append(to_json_line(metrics)); }
void MetricsWriter::write(const StepMetrics& metrics) { file_.append(to_json_line(metrics)); }

MetricsLog read_metrics(const Path& path) {
  const std::string text = read_text_file(path, kLimitBytes);
  MetricsLog log;
  each_line(text, [&](std::int64_t number, const std::optional<Record>& record, std::size_t) {
    if (!record)
      throw Error(ErrorKind::input, path.native(),
                  "line " + std::to_string(number) + " is not a record of kiln's metrics");
    if (record->epoch) log.epochs.push_back(*record->epoch);
    if (record->step) log.steps.push_back(*record->step);
    return true;
  });
  return log;
}

}  // namespace kiln
