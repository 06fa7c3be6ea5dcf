#include "apps/serve/settings.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>

#include "apps/common/environment.h"
#include "apps/common/twins.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr std::int64_t kMostMilliseconds = 86'400'000;
constexpr const char* kFooter =
    "Every flag can be given as a variable, --max-batch as KILN_MAX_BATCH; a flag is stronger, "
    "and\n"
    "the model's model.json (\"serve\") is weaker than both. Of SageMaker's variables those that "
    "have\n"
    "a flag are read too: SAGEMAKER_BIND_TO_PORT, SAGEMAKER_MODEL_SERVER_WORKERS,\n"
    "SAGEMAKER_MODEL_SERVER_TIMEOUT[_SECONDS], SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT,\n"
    "SAGEMAKER_MAX_PAYLOAD_IN_MB, SAGEMAKER_TS_BATCH_SIZE, SAGEMAKER_TS_MAX_BATCH_DELAY and\n"
    "SAGEMAKER_CONTAINER_LOG_LEVEL.\n\n"
    "signals: SIGTERM and SIGINT finish what has begun and end with 0, a second one ends at once;\n"
    "         SIGHUP looks for new and changed models\n\n"
    "examples:\n"
    "  kiln serve kiln-model\n"
    "  curl -T picture.png -H 'Content-Type: image/png' localhost:8080/invocations -X POST\n"
    "  kiln serve models/ --port 9000 --max-batch 64 --max-delay-us 500\n"
    "  kiln serve kiln-model --print-config";

void add_model_options(CLI::App& app, ServeSettings& s) {
  app.add_option("model", s.root,
                 "Model directory, as kiln train writes it; a folder of versions (1, 2, ...) of a\n"
                 "model; or a folder of several models. Without it: /opt/ml/model")
      ->configurable(false);
  app.add_option("--name", s.name, "Name of the one model, instead of the one in its model.json");
  app.add_option("--versions", s.versions, "Which versions of a model to serve: all, or the latest")
      ->check(CLI::IsMember({"all", "latest"}))
      ->capture_default_str();
  app.add_option("--watch-ms", s.watch_ms,
                 "How often to look for new and changed models; 0: only on SIGHUP")
      ->check(CLI::Range(std::int64_t{0}, kMostMilliseconds))
      ->capture_default_str();
  app.add_flag("--allow-plugins", s.allow_plugins,
               "Load the plug-in that a model's model.json names: code of whoever wrote the model");
}

void add_batch_options(CLI::App& app, ServeSettings& s) {
  app.add_option("--device", s.common.device, "Where to compute: cpu, cuda, auto or emu")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "emu"}))
      ->capture_default_str();
  app.add_option("--threads", s.common.thread_count,
                 "Batches of a model computed at once, one thread each; 0: one per CPU")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--inline", s.inlining,
                 "Whether the thread that receives a lone picture computes it: auto (where the\n"
                 "model takes under 0.5 ms), on or off")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  app.add_option("--max-batch", s.max_batch, "Most pictures computed together")
      ->check(CLI::Range(1, 4096))
      ->default_str("32");
  app.add_option("--max-delay-us", s.max_delay_us,
                 "How long a batch may wait to fill; 0: it takes what is there")
      ->check(CLI::Range(0, 10'000'000))
      ->default_str("0");
  app.add_option("--queue", s.queue, "Most pictures of a model that wait; more get 429")
      ->check(CLI::Range(1, 1 << 20))
      ->default_str("256");
  app.add_option("--request-time-ms", s.request_time_ms,
                 "How long a request may wait for its result; then it gets 504")
      ->check(CLI::Range(std::int64_t{1}, kMostMilliseconds))
      ->default_str("30000");
  app.add_option("--decoders", s.decoders, "Threads that decode pictures and large bodies")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
}

void add_http_options(CLI::App& app, ServeSettings& s) {
  const auto time = [&app](const char* flag, std::int64_t& value, const char* help) {
    app.add_option(flag, value, help)
        ->check(CLI::Range(std::int64_t{0}, kMostMilliseconds))
        ->capture_default_str();
  };
  app.add_option("--address", s.address, "IPv4 address to listen on")->capture_default_str();
  app.add_option("--port", s.port, "Port; 0: the system chooses, and the ready line tells")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--default-accept", s.default_accept,
                 "Type of a result where the request has no Accept, or */*")
      ->capture_default_str();
  app.add_option("--overload-status", s.overload_status, "What a full queue answers: 429 or 503")
      ->check(CLI::IsMember({429, 503}))
      ->capture_default_str();
  app.add_option("--max-connections", s.max_connections, "Open at once; more get 503")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  time("--header-time-ms", s.header_time_ms, "For a request's header to arrive; then 408");
  time("--body-time-ms", s.body_time_ms, "For a request's body to arrive; then 408");
  time("--idle-time-ms", s.idle_time_ms, "Between two requests of a connection; then it is closed");
  time("--drain-delay-ms", s.drain_delay_ms,
       "After SIGTERM: how long to answer on, with /ping at 503, before new connections are\n"
       "refused");
  time("--drain-time-ms", s.drain_time_ms, "After that: how long requests under way may take");
  time("--drain-idle-ms", s.drain_idle_ms,
       "After that: how long a connection that asks for nothing stays open");
  app.add_flag("--no-ui", s.no_ui, "Without the page at /");
}

void add_limit_options(CLI::App& app, ServeSettings& s) {
  app.add_option("--max-body-bytes", s.max_body_bytes, "Of a request; more gets 413")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 30))
      ->capture_default_str();
  app.add_option("--max-pictures", s.max_pictures, "Of a request; more gets 413")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--max-image-side", s.max_image_side, "Pixels of a side of a PNG or JPEG picture")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--max-image-pixels", s.max_image_pixels, "Pixels of a PNG or JPEG picture")
      ->check(CLI::Range(1, 1 << 28))
      ->capture_default_str();
  app.add_option("--log-level", s.common.log_level, "What to log: quiet, info or debug")
      ->check(CLI::IsMember({"quiet", "info", "debug"}))
      ->capture_default_str();
}

// A whole number times `factor`.
std::function<std::string(const std::string&)> times(const char* variable, std::int64_t factor) {
  return [variable, factor](const std::string& text) {
    std::int64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (fault != std::errc() || end != text.data() + text.size() || value < 0 ||
        value > (std::int64_t{1} << 40))
      throw Error(ErrorKind::usage, variable, "cannot be " + printable(text),
                  "write a whole number");
    return std::to_string(value * factor);
  };
}

// Python's levels: 10 is debug, 20 info, and above that are warnings, which kiln always writes.
std::string log_level_of(const std::string& text) {
  const std::string number = times("SAGEMAKER_CONTAINER_LOG_LEVEL", 1)(text);
  const std::int64_t level = std::stoll(number);
  return level <= 10 ? "debug" : level <= 20 ? "info" : "quiet";
}

// Source: the SageMaker inference toolkit's parameters.
std::vector<ForeignTwin> sagemaker_twins() {
  const auto number = [](const char* variable, const char* flag, std::int64_t factor) {
    return ForeignTwin{variable, flag, times(variable, factor)};
  };
  return {
      number("SAGEMAKER_BIND_TO_PORT", "port", 1),
      number("SAGEMAKER_MODEL_SERVER_WORKERS", "threads", 1),
      number("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "request-time-ms", 1000),
      number("SAGEMAKER_MODEL_SERVER_TIMEOUT", "request-time-ms", 1000),
      number("SAGEMAKER_MAX_PAYLOAD_IN_MB", "max-body-bytes", 1 << 20),
      number("SAGEMAKER_TS_BATCH_SIZE", "max-batch", 1),
      number("SAGEMAKER_TS_MAX_BATCH_DELAY", "max-delay-us", 1000),
      {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "default-accept",
       [](const std::string& text) { return text; }},
      {"SAGEMAKER_CONTAINER_LOG_LEVEL", "log-level", log_level_of},
  };
}

// Where the container contract puts the model.
std::string container_model(std::span<const std::string> environment) {
  constexpr std::string_view kBase = "SAGEMAKER_BASE_DIR=";
  std::string base = "/opt/ml";
  for (const std::string& line : environment)
    if (line.starts_with(kBase)) base = line.substr(kBase.size());
  return base + "/model";
}

std::string value_of(const CLI::Option& option) {
  const bool is_switch = option.get_items_expected_max() == 0;
  if (!option.results().empty()) return option.results().front();
  return is_switch ? "false" : option.get_default_str();
}

void choose_root(const CLI::App& app, std::span<const std::string> environment, ServeSettings& s) {
  const bool given = !s.root.empty();
  if (!given) s.root = container_model(environment);
  std::error_code failed;
  if (!given && !s.print_config && !std::filesystem::is_directory(s.root, failed))
    throw Error(ErrorKind::usage, "model", "is missing, and there is no " + s.root,
                "name a model directory: " + app.get_name() + " MODEL_DIR");
  s.rows.push_back({"model", s.root, given ? "argument" : "default"});
}

}  // namespace

ServeSettings read_serve_settings(int argc, char** argv, std::span<const std::string> environment) {
  ServeSettings s;
  s.common.device = "cpu";
  CLI::App app(
      "Answers predictions over HTTP: SageMaker's /ping and /invocations, the Open Inference\n"
      "Protocol v2 below /v2, Prometheus metrics at /metrics, a page at /",
      "kiln serve");
  app.footer(kFooter);
  add_model_options(app, s);
  add_batch_options(app, s);
  add_http_options(app, s);
  add_limit_options(app, s);
  app.add_flag("--print-config", s.print_config,
               "Print every setting with its value and where it came from, and leave")
      ->configurable(false);
  app.set_version_flag("--version", "kiln " + version(), "Print the version and leave")
      ->configurable(false);
  // `IMAGE serve`, as a container is started.
  const int skipped = argc > 1 && std::string_view(argv[1]) == "serve" ? 1 : 0;
  parse_flags(app, argc - skipped, argv + skipped);
  // Variables of the engine and of other programs of kiln, which a shell may well have.
  Twins twins(environment, {"KILN_CPU_ISA", "KILN_DATA", "KILN_CACHE_DIR"});
  twins.apply(app, sagemaker_twins());
  choose_root(app, environment, s);
  for (const CLI::Option* option : app.get_options())
    if (option != app.get_help_ptr() && option->get_configurable())
      s.rows.push_back({option->get_lnames().front(), value_of(*option), twins.origin(*option)});
  return s;
}

std::string to_table(std::span<const ServeSettings::Row> rows) {
  const auto width = [&](std::string ServeSettings::Row::*column) {
    std::size_t most = 0;
    for (const auto& row : rows) most = std::max(most, (row.*column).size());
    return most + 2;
  };
  const std::size_t names = width(&ServeSettings::Row::name);
  const std::size_t values = width(&ServeSettings::Row::value);
  std::string text;
  for (const auto& row : rows)
    text += row.name + std::string(names - row.name.size(), ' ') + row.value +
            std::string(values - row.value.size(), ' ') + row.origin + "\n";
  return text;
}

}  // namespace kiln
