// What the server was asked to do: flags, environment, and where each value came from.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/common/options.h"

namespace kiln {

struct ServeSettings {
  std::string root;  // the model directory, or a folder of several
  std::string address = "0.0.0.0";
  int port = 8080;
  std::string name, versions = "all";
  std::string inlining = "auto";
  CommonOptions common;

  // Over what a model's card says.
  std::optional<std::int64_t> max_batch, max_delay_us, queue, request_time_ms;

  std::string default_accept = "application/json";
  int overload_status = 429;
  std::uint64_t max_body_bytes = 6u << 20;
  std::int64_t max_pictures = 1 << 12, max_image_pixels = 1 << 24;
  int max_image_side = 4096, max_connections = 1024, decoders = 1;
  int max_concurrent_transforms = 0, max_models = 0;
  std::int64_t max_memory_mb = 0, startup_time_ms = 600'000;
  std::int64_t header_time_ms = 10'000, body_time_ms = 30'000, idle_time_ms = 75'000;
  std::int64_t drain_delay_ms = 0, drain_time_ms = 25'000, drain_idle_ms = 500;
  std::int64_t watch_ms = 1'000;
  bool no_ui = false, allow_plugins = false, multi_model = false;
  std::vector<std::string> notes;  // for the log

  // One row of --print-config.
  struct Row {
    std::string name, value, origin;
  };
  std::vector<Row> rows;
  bool print_config = false;
};

// From the command line and the environment (lines NAME=value); prints --help and --version as
// parse_flags does. Throws Error (usage).
ServeSettings read_serve_settings(int argc, char** argv, std::span<const std::string> environment);

// The table of --print-config.
std::string to_table(std::span<const ServeSettings::Row> rows);

}  // namespace kiln
