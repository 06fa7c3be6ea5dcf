#include "apps/common/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <numeric>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "engine/core/backend.h"
#include "engine/core/error.h"
#include "engine/core/math_mode.h"
#include "engine/core/thread_pool.h"
#include "kernels/include/load_device.h"

namespace kiln {
namespace {

constexpr int kMaxThreadCount = 1024;

// Levenshtein's distance.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string see_help(const CLI::App& app) { return "see " + app.get_name() + " --help"; }

[[noreturn]] void refuse_word(const CLI::App& app, const std::string& word) {
  const bool flag = word.starts_with("-") && word != "-";
  const std::string name = flag ? word.substr(0, word.find('=')) : word;
  const std::string near = flag ? nearest_flag(app, name) : "";
  const std::string mend = near.empty() ? see_help(app) : "did you mean " + near + "?";
  throw Error(ErrorKind::usage, printable(name),
              flag ? "is no flag of " + app.get_name() : "is one argument too many", mend);
}

// "Could not convert: --epochs = abc" and its like become "--epochs: cannot be abc".
[[noreturn]] void refuse_value(const CLI::App& app, const CLI::ParseError& error) {
  constexpr std::string_view kConvert = "Could not convert: ";
  std::string text = error.what();
  if (text.starts_with(kConvert)) {
    text.erase(0, kConvert.size());
    const std::size_t equals = text.find(" = ");
    const std::string name = text.substr(0, equals);
    const std::string value = equals == text.npos ? "this" : text.substr(equals + 3);
    throw Error(ErrorKind::usage, name, "cannot be " + printable(value), see_help(app));
  }
  const std::size_t end = text.find_first_of(": ");
  const std::string name = text.substr(0, end);
  if (end == text.npos || name.empty() || name[0] == '(')
    throw Error(ErrorKind::usage, app.get_name(), printable(text), see_help(app));
  std::string wrong = text.substr(text.find_first_not_of(": ", end));
  wrong[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(wrong[0])));
  throw Error(ErrorKind::usage, printable(name), printable(wrong), see_help(app));
}

}  // namespace

std::string nearest_flag(const CLI::App& app, std::string_view word) {
  std::string best;
  std::size_t best_distance = 3;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) {
      const std::string flag = "--" + name;
      const std::size_t distance = edit_distance(word, flag);
      const bool begun = word.size() > 4 && flag.starts_with(word);
      if (distance < best_distance || (begun && best.empty())) {
        best = flag;
        best_distance = std::min(distance, best_distance);
      }
    }
  return best;
}

void add_common_options(CLI::App& app, CommonOptions& options) {
  app.add_option("--threads", options.thread_count, "Threads that compute; 0: one per CPU")
      ->check(CLI::Range(0, kMaxThreadCount))
      ->capture_default_str();
  app.add_option("--device", options.device,
                 "Where to compute: auto (a GPU where there is one), cpu, cuda, or emu: the\n"
                 "CUDA kernels run by the CPU, slowly, for study and debugging")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "emu"}))
      ->capture_default_str();
  app.add_flag("--deterministic", options.deterministic,
               "The same bits for every number of threads");
  app.add_option("--conv", options.conv,
                 "Convolution kernels: auto, own, onednn (CPU) or cudnn (GPU)")
      ->check(CLI::IsMember({"auto", "own", "onednn", "cudnn"}))
      ->capture_default_str();
  app.add_option("--autotune", options.autotune,
                 "On a GPU, whether cuDNN's plans are timed once and the choice kept on the\n"
                 "disk: on or off; never with --deterministic")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--log-level", options.log_level, "What to log: quiet, info or debug")
      ->check(CLI::IsMember({"quiet", "info", "debug"}))
      ->capture_default_str();
  app.set_version_flag("--version", "kiln " + version(), "Print the version and leave");
}

void add_math_option(CLI::App& app, CommonOptions& options) {
  app.add_option("--math", options.math,
                 "What to compute with: fp32, tf32, or on a device bf16 or fp16: 16-bit\n"
                 "activations and copies of f32 weights, sums in f32")
      ->check(CLI::IsMember({"fp32", "tf32", "bf16", "fp16"}))
      ->capture_default_str();
}

std::vector<std::string> normalise_flags(int argc, char** argv) {
  std::vector<std::string> words;
  bool flags = true;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word == "--") flags = false;
    if (flags && word.starts_with("--"))
      std::replace(
          word.begin(),
          word.begin() + static_cast<std::ptrdiff_t>(std::min(word.find('='), word.size())), '_',
          '-');
    words.push_back(std::move(word));
  }
  return words;
}

void parse_flags(CLI::App& app, int argc, char** argv) {
  std::vector<std::string> words = normalise_flags(argc, argv);
  // CLI11 takes the words last first.
  std::reverse(words.begin(), words.end());
  app.allow_extras();
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    throw ExitEarly{0};
  } catch (const CLI::CallForVersion& text) {
    std::puts(text.what());
    throw ExitEarly{0};
  } catch (const CLI::ParseError& error) {
    // A word that nobody asked for often explains what is missing.
    if (const auto extras = app.remaining(); !extras.empty()) refuse_word(app, extras.front());
    refuse_value(app, error);
  }
  if (const auto extras = app.remaining(); !extras.empty()) refuse_word(app, extras.front());
}

int thread_count(const CommonOptions& options) {
  return options.thread_count > 0 ? options.thread_count : ThreadPool::available_cpu_count();
}

LogLevel log_level(const CommonOptions& options) {
  if (options.log_level == "quiet") return LogLevel::quiet;
  return options.log_level == "debug" ? LogLevel::debug : LogLevel::info;
}

namespace {

Device the_cpu(const CommonOptions& options, Log& log, const std::string& reason) {
  const int count = thread_count(options);
  log.info("device: cpu, " + std::to_string(count) + (count == 1 ? " thread, " : " threads, ") +
           instruction_set() + " (" + reason + ")");
  return Device{};
}

}  // namespace

Device choose_device(const CommonOptions& options, Log& log) {
  if (options.device == "cpu") return the_cpu(options, log, "asked for");
  const DeviceType type = options.device == "emu" ? DeviceType::emu : DeviceType::cuda;
  std::string why;
  const std::optional<Device> device = load_device(type, 0, why);
  if (!device && options.device == "auto") return the_cpu(options, log, "no GPU: " + why);
  if (!device)
    throw Error(ErrorKind::unsupported, "--device " + options.device, why, "use --device cpu");
  log.info("device: " + to_string(*device) + ", " + device->backend->describe(0) +
           (options.device == "auto" ? " (first GPU found)" : " (asked for)"));
  return *device;
}

DType choose_storage(const CommonOptions& options, Device device, Log& log) {
  const MathMode mode = parse_math_mode(options.math);
  const DType storage = storage_of(mode);
  if (is_16_bit(storage) && device.is_host())
    throw Error(ErrorKind::unsupported, "--math " + options.math, "is not computed on the CPU",
                "use --math fp32, or another --device");
  if (is_16_bit(storage))
    log.info("math: " + options.math + " activations and copies of f32 weights, sums in f32" +
             (mode == MathMode::fp16 ? ", scaled loss" : ""));
  if (mode == MathMode::tf32)
    log.info(device.type == DeviceType::cuda && options.conv != "own"
                 ? std::string("math: tf32 for convolutions of cuDNN, fp32 for all the rest")
                 : "math: tf32 asked for; no provider for " + to_string(device) +
                       " has it, computed in fp32");
  return storage;
}

Conv2dProviders make_conv2d_providers(const CommonOptions& options, Device device, Log& log) {
  if (!device.is_host())
    return make_device_conv2d_providers(device, log,
                                        {.choice = parse_device_conv2d_choice(options.conv),
                                         .tf32 = options.math == "tf32",
                                         .autotune = options.autotune == "on"});
  return make_cpu_conv2d_providers(log, parse_cpu_conv2d_choice(options.conv));
}

}  // namespace kiln
