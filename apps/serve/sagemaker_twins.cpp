#include "apps/serve/sagemaker_twins.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "engine/core/error.h"

namespace kiln {
namespace {

std::optional<std::string_view> find(std::span<const std::string> environment,
                                     std::string_view name) {
  for (const std::string& line : environment)
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == '=')
      return std::string_view(line).substr(name.size() + 1);
  return std::nullopt;
}

[[noreturn]] void refuse(const char* variable, std::string_view text, std::string_view mend) {
  throw Error(ErrorKind::usage, variable, "cannot be " + printable(text), mend);
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = fault == std::errc() && end == text.data() + text.size();
  if (!whole || value < 0 || value > (std::int64_t{1} << 40)) return std::nullopt;
  return value;
}

// Whole numbers, and what a flag is given for them.
struct NumberTwin {
  const char *variable, *flag;
  std::int64_t factor = 1;
  std::int64_t of_zero = 0;  // instead of zero
};

constexpr NumberTwin kNumbers[] = {
    {"SAGEMAKER_BIND_TO_PORT", "port"},
    {"SAGEMAKER_MODEL_SERVER_WORKERS", "threads"},
    {"SAGEMAKER_TS_MAX_WORKERS", "threads"},
    {"SAGEMAKER_TS_MIN_WORKERS", "threads"},
    {"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "request-time-ms", 1000},
    {"SAGEMAKER_MODEL_SERVER_TIMEOUT", "request-time-ms", 1000},
    {"SAGEMAKER_TS_RESPONSE_TIMEOUT", "request-time-ms", 1000},
    {"SAGEMAKER_STARTUP_TIMEOUT", "startup-time-ms", 1000},
    {"SAGEMAKER_MAX_PAYLOAD_IN_MB", "max-body-bytes", 1 << 20, 1 << 30},
    {"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "max-concurrent-transforms"},
    {"SAGEMAKER_TS_BATCH_SIZE", "max-batch"},
    {"SAGEMAKER_TS_MAX_BATCH_DELAY", "max-delay-us", 1000},
};

ForeignTwin to_twin(const NumberTwin& number) {
  return {number.variable, number.flag, [&number](const std::string& text) {
            const auto value = whole_number(text);
            if (!value) refuse(number.variable, text, "write a whole number");
            return std::to_string(*value == 0 ? number.of_zero : *value * number.factor);
          }};
}

// Python's levels: 10 is debug, 20 info, and above that are warnings, which kiln always writes.
ForeignTwin log_level() {
  constexpr const char* kVariable = "SAGEMAKER_CONTAINER_LOG_LEVEL";
  return {kVariable, "log-level", [](const std::string& text) -> std::string {
            const auto level = whole_number(text);
            if (!level) refuse(kVariable, text, "write one of Python's levels: 10, 20, 30, 40, 50");
            return *level <= 10 ? "debug" : *level <= 20 ? "info" : "quiet";
          }};
}

void check_port_range(std::span<const std::string> environment) {
  constexpr const char* kVariable = "SAGEMAKER_SAFE_PORT_RANGE";
  const auto text = find(environment, kVariable);
  if (!text || text->empty()) return;
  const std::size_t dash = std::min(text->find('-'), text->size());
  const auto low = whole_number(text->substr(0, dash));
  const auto high = whole_number(text->substr(std::min(dash + 1, text->size())));
  if (!low || !high || *low > *high || *high > 65535)
    refuse(kVariable, *text, "write two ports, such as 13000-14000");
}

bool is_batch_transform(std::span<const std::string> environment) {
  const auto text = find(environment, "SAGEMAKER_BATCH");
  return text == "true" || text == "True";
}

// In batch transform nobody waits at the other end: time and queue are as long as the platform's.
void add_batch_transform(std::vector<ForeignTwin>& twins) {
  const auto always = [](const char* text) { return [text](const std::string&) { return text; }; };
  twins.push_back({"SAGEMAKER_BATCH", "request-time-ms", always("3600000")});
  twins.push_back({"SAGEMAKER_BATCH", "queue", always("65536")});
}

}  // namespace

std::vector<ForeignTwin> sagemaker_twins(std::span<const std::string> environment) {
  check_port_range(environment);
  std::vector<ForeignTwin> twins;
  for (const NumberTwin& number : kNumbers) twins.push_back(to_twin(number));
  twins.push_back({"SAGEMAKER_MULTI_MODEL", "multi-model",
                   [](const std::string& text) { return text == "true" ? "true" : "false"; }});
  twins.push_back({"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "default-accept",
                   [](const std::string& text) { return text; }});
  twins.push_back(log_level());
  if (is_batch_transform(environment)) add_batch_transform(twins);
  return twins;
}

std::string sagemaker_base(std::span<const std::string> environment) {
  const auto base = find(environment, "SAGEMAKER_BASE_DIR");
  return base && !base->empty() ? std::string(*base) : "/opt/ml";
}

std::vector<std::string> unread_sagemaker_code(std::span<const std::string> environment) {
  std::vector<std::string> lines;
  for (const char* name : {"SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY"})
    if (const auto text = find(environment, name); text && !text->empty())
      lines.push_back(std::string(name) + ": " + printable(*text) +
                      " is Python code, which is not run here; the model's own card and hooks "
                      "count");
  return lines;
}

}  // namespace kiln
