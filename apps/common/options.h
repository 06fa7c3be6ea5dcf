// Flags that all programs share, and how a command line is read. CLI11 stays in .cpp files:
//
//   CLI::App app("Trains a network", "kiln train");
//   CommonOptions common;
//   add_common_options(app, common);
//   parse_flags(app, argc, argv);
//   Log log(stderr, log_level(common));
//   ThreadPool pool(thread_count(common));
//   Context context(choose_device(common, log), pool, log, common.deterministic);
#pragma once

#include <span>
#include <string>

#include "engine/core/device.h"
#include "engine/core/log.h"
#include "kernels/include/conv2d_provider.h"

namespace CLI {
class App;
}

namespace kiln {

struct CommonOptions {
  int thread_count = 0;  // 0: as many as the process has CPUs
  std::string device = "auto";
  bool deterministic = false;
  std::string log_level = "info";
  std::string conv = "auto";
  std::string conv_algorithm = "auto";
  std::string autotune = "on";
  std::string math = "fp32";  // add_math_option
};

// --threads, --device, --deterministic, --log-level, --conv, --conv-algorithm, --autotune and
// --version.
void add_common_options(CLI::App& app, CommonOptions& options);

// --math, for the programs that run a network.
void add_math_option(CLI::App& app, CommonOptions& options);

// Reads the command line into the variables that `app` is bound to. Prints the text of --help and
// --version on stdout and throws ExitEarly. Throws Error (usage) naming the flag; for an unknown
// one it names the nearest that there is.
void parse_flags(CLI::App& app, int argc, char** argv);

// The same, but words that `app` does not know stay in app.remaining(), in their order.
void parse_known_flags(CLI::App& app, int argc, char** argv);

// Throws Error (usage) where numbers of --mean and --std are none that pixels can be scaled by.
void check_mean_and_std(std::span<const double> mean, std::span<const double> std);

int thread_count(const CommonOptions& options);
LogLevel log_level(const CommonOptions& options);

// Where work will run; logs the device and why. Only `auto` falls back to the CPU: throws Error
// (unsupported) for a device that was asked for and that this build or machine does not have.
Device choose_device(const CommonOptions& options, Log& log);

// The type of activations and of the weights that layers read, by --math; logs what was chosen.
// Throws Error (unsupported) for a mode that the device does not have.
DType choose_storage(const CommonOptions& options, Device device, Log& log);

// The convolution providers of the device that --conv and --conv-algorithm name; --math tf32
// reaches cuDNN. Throws Error (usage) for a library that does not work on that device.
Conv2dProviders make_conv2d_providers(const CommonOptions& options, Device device, Log& log);

}  // namespace kiln
