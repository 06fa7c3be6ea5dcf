#include "apps/serve/settings.h"

#include <algorithm>
#include <filesystem>

#include "apps/common/flag_set.h"
#include "apps/common/twins.h"
#include "apps/serve/sagemaker_twins.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr std::int64_t kMostMilliseconds = 86'400'000;
constexpr const char* kFooter =
    "Every flag can be given as a variable, --max-batch as KILN_MAX_BATCH; a flag is stronger, "
    "and\n"
    "the model's model.json (\"serve\") is weaker than both. SageMaker's variables are read too, "
    "and\n"
    "weaker than a flag and its variable; docs/container.md has them.\n\n"
    "signals: SIGTERM and SIGINT finish what has begun and end with 0, a second one ends at once;\n"
    "         SIGHUP looks for new and changed models\n\n"
    "examples:\n"
    "  kiln serve kiln-model\n"
    "  curl -T picture.png -H 'Content-Type: image/png' localhost:8080/invocations -X POST\n"
    "  kiln serve models/ --port 9000 --max-batch 64 --max-delay-us 500\n"
    "  kiln serve kiln-model --print-config";

void add_model_flags(FlagSet& flags, ServeSettings& s) {
  flags.add_argument(
      {.name = "model",
       .to = &s.root,
       .help = "Model directory, as kiln train writes it; a folder of versions (1, 2, ...) of a\n"
               "model; or a folder of several models. Without it: /opt/ml/model, and with\n"
               "--multi-model /opt/ml/models; SAGEMAKER_BASE_DIR stands for /opt/ml"});
  flags.add({.name = "name",
             .to = &s.name,
             .help = "Name of the one model, instead of the one in its model.json"});
  flags.add({.name = "versions",
             .to = &s.versions,
             .help = "Which versions of a model to serve: all, or the latest",
             .choices = {"all", "latest"}});
  flags.add({.name = "watch-ms",
             .to = &s.watch_ms,
             .help = "How often to look for new and changed models; 0: only on SIGHUP",
             .high = kMostMilliseconds});
  flags.add({.name = "allow-plugins",
             .to = &s.allow_plugins,
             .help = "Load the plug-in that a model's model.json names: code of whoever wrote the "
                     "model"});
}

void add_multi_model_flags(FlagSet& flags, ServeSettings& s) {
  flags.add({.name = "multi-model",
             .to = &s.multi_model,
             .help = "Begin without a model; POST /models loads one that lies below MODEL, DELETE\n"
                     "/models/NAME unloads it, as SageMaker's multi-model endpoints do"});
  flags.add({.name = "max-models",
             .to = &s.max_models,
             .help = "With --multi-model: most models at once; one more gets 507. 0: any number",
             .high = 1'000'000});
  flags.add({.name = "max-memory-mb",
             .to = &s.max_memory_mb,
             .help =
                 "With --multi-model: a model that would take the process beyond this gets 507;\n"
                 "0: four fifths of the machine's or the container's memory",
             .high = 1 << 30});
}

void add_batch_flags(FlagSet& flags, ServeSettings& s) {
  flags.add({.name = "max-batch",
             .to = &s.max_batch,
             .help = "Most pictures computed together",
             .low = 1,
             .high = 4096,
             .shown = "32"});
  flags.add({.name = "max-delay-us",
             .to = &s.max_delay_us,
             .help = "How long a batch may wait to fill; 0: it takes what is there",
             .high = 10'000'000,
             .shown = "0"});
  flags.add({.name = "queue",
             .to = &s.queue,
             .help = "Most pictures of a model that wait; more get 429",
             .low = 1,
             .high = 1 << 20,
             .shown = "256"});
  flags.add({.name = "request-time-ms",
             .to = &s.request_time_ms,
             .help = "How long a request may wait for its result; then it gets 504",
             .low = 1,
             .high = kMostMilliseconds,
             .shown = "30000"});
}

void add_compute_flags(FlagSet& flags, ServeSettings& s) {
  flags.add({.name = "device",
             .to = &s.common.device,
             .help = "Where to compute: cpu, cuda, auto or emu",
             .choices = {"auto", "cpu", "cuda", "emu"}});
  flags.add({.name = "threads",
             .to = &s.common.thread_count,
             .help = "Batches of a model computed at once, one thread each; 0: one per CPU",
             .high = 1024});
  flags.add(
      {.name = "inline",
       .to = &s.inlining,
       .help = "Whether the thread that receives requests computes the few that arrive together:\n"
               "auto (where a picture takes under 0.5 ms), on or off",
       .choices = {"auto", "on", "off"}});
  add_batch_flags(flags, s);
  flags.add({.name = "decoders",
             .to = &s.decoders,
             .help = "Threads that decode pictures and large bodies",
             .low = 1,
             .high = 64});
}

void add_time_flags(FlagSet& flags, ServeSettings& s) {
  const auto time = [&flags](const char* name, std::int64_t* to, const char* help) {
    flags.add({.name = name, .to = to, .help = help, .high = kMostMilliseconds});
  };
  flags.add({.name = "startup-time-ms",
             .to = &s.startup_time_ms,
             .help = "For the models to be loaded; then the server ends with 1",
             .low = 1,
             .high = kMostMilliseconds});
  time("header-time-ms", &s.header_time_ms, "For a request's header to arrive; then 408");
  time("body-time-ms", &s.body_time_ms, "For a request's body to arrive; then 408");
  time("idle-time-ms", &s.idle_time_ms, "Between two requests of a connection; then it is closed");
  time("drain-delay-ms", &s.drain_delay_ms,
       "After SIGTERM: how long to answer on, with /ping at 503, before new connections are\n"
       "refused");
  time("drain-time-ms", &s.drain_time_ms, "After that: how long requests under way may take");
  time("drain-idle-ms", &s.drain_idle_ms,
       "After that: how long a connection that asks for nothing stays open");
}

void add_http_flags(FlagSet& flags, ServeSettings& s) {
  flags.add({.name = "address", .to = &s.address, .help = "IPv4 address to listen on"});
  flags.add({.name = "port",
             .to = &s.port,
             .help = "Port; 0: the system chooses, and the ready line tells",
             .high = 65535});
  flags.add({.name = "default-accept",
             .to = &s.default_accept,
             .help = "Type of a result where the request has no Accept, or */*"});
  flags.add({.name = "overload-status",
             .to = &s.overload_status,
             .help = "What a full queue answers: 429 or 503",
             .choices = {"429", "503"}});
  flags.add({.name = "max-connections",
             .to = &s.max_connections,
             .help = "Open at once; more get 503",
             .low = 1,
             .high = 1 << 20});
  add_time_flags(flags, s);
  flags.add({.name = "no-ui", .to = &s.no_ui, .help = "Without the page at /"});
}

void add_limit_flags(FlagSet& flags, ServeSettings& s) {
  flags.add({.name = "max-body-bytes",
             .to = &s.max_body_bytes,
             .help = "Of a request; more gets 413",
             .low = 1,
             .high = 1 << 30});
  flags.add({.name = "max-pictures",
             .to = &s.max_pictures,
             .help = "Of a request; more gets 413",
             .low = 1,
             .high = 1 << 20});
  flags.add({.name = "max-image-side",
             .to = &s.max_image_side,
             .help = "Pixels of a side of a PNG or JPEG picture",
             .low = 1,
             .high = 1 << 16});
  flags.add({.name = "max-image-pixels",
             .to = &s.max_image_pixels,
             .help = "Pixels of a PNG or JPEG picture",
             .low = 1,
             .high = 1 << 28});
  flags.add({.name = "max-concurrent-transforms",
             .to = &s.max_concurrent_transforms,
             .help =
                 "What /execution-parameters tells batch transform; 0: as many as --threads, as\n"
                 "far as their bodies stay within 100 MB",
             .high = 10'000});
  flags.add({.name = "log-level",
             .to = &s.common.log_level,
             .help = "What to log: quiet, info or debug",
             .choices = {"quiet", "info", "debug"}});
}

void choose_root(const FlagSet& flags, std::span<const std::string> environment, ServeSettings& s) {
  const bool given = !s.root.empty();
  if (!given) s.root = sagemaker_base(environment) + (s.multi_model ? "/models" : "/model");
  std::error_code failed;
  if (!given && !s.print_config && !s.multi_model && !std::filesystem::is_directory(s.root, failed))
    throw Error(ErrorKind::usage, "model", "is missing, and there is no " + s.root,
                "name a model directory: " + flags.program() + " MODEL_DIR");
  s.rows.push_back({"model", s.root, given ? "argument" : "default"});
}

}  // namespace

ServeSettings read_serve_settings(int argc, char** argv, std::span<const std::string> environment) {
  ServeSettings s;
  s.common.device = "cpu";
  FlagSet flags("kiln serve",
                "Answers predictions over HTTP: SageMaker's /ping and /invocations, the Open "
                "Inference\nProtocol v2 below /v2, Prometheus metrics at /metrics, a page at /",
                kFooter);
  add_model_flags(flags, s);
  add_multi_model_flags(flags, s);
  add_compute_flags(flags, s);
  add_http_flags(flags, s);
  add_limit_flags(flags, s);
  flags.add({.name = "print-config",
             .to = &s.print_config,
             .help = "Print every setting with its value and where it came from, and leave",
             .is_setting = false});
  // `IMAGE serve`, as a container is started.
  const int skipped = argc > 1 && std::string_view(argv[1]) == "serve" ? 1 : 0;
  flags.parse(argc - skipped, argv + skipped);
  // Variables of the engine, of other programs of kiln and of its tests, which a shell may have.
  Twins twins(environment, {"KILN_CPU_ISA", "KILN_DATA", "KILN_CACHE_DIR", "KILN_PEER_PYTHON",
                            "KILN_BIN_DIR", "KILN_SOURCE_DIR"});
  twins.apply(flags, sagemaker_twins(environment));
  choose_root(flags, environment, s);
  s.notes = unread_sagemaker_code(environment);
  for (const FlagSet::Entry& entry : flags.entries())
    if (entry.flag.is_setting) s.rows.push_back({entry.flag.name, entry.value, entry.origin});
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
