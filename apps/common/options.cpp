#include "apps/common/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <span>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "apps/common/words.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr int kMaxThreadCount = 1024;

std::string see_help(const CLI::App& app) { return "see " + app.get_name() + " --help"; }

// "Could not convert: --epochs = abc" and its like become "--epochs: cannot be abc".
[[noreturn]] void refuse_value(const CLI::App& app, const CLI::ParseError& error) {
  constexpr std::string_view kConvert = "Could not convert: ";
  std::string text = error.what();
  if (text.starts_with(kConvert)) {
    text.erase(0, kConvert.size());
    const std::size_t equals = text.find(" = ");
    const std::string name = text.substr(0, equals);
    std::string value = equals == text.npos ? "this" : text.substr(equals + 3);
    // Of a flag that was given several times CLI11 names all values, the last is the one that
    // holds.
    const CLI::Option* option = app.get_option_no_throw(name);
    if (option != nullptr && option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeLast)
      value = option->results().back();
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

void refuse_extras(const CLI::App& app) {
  const auto extras = app.remaining();
  if (extras.empty()) return;
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  refuse_word(app.get_name(), flags, extras.front());
}

// For "--data=" CLI11 would take the next word, which may be another flag, as its value.
void refuse_no_value(const CLI::App& app, std::span<const std::string> words) {
  for (const std::string& word : words) {
    if (word == "--") return;
    if (word.starts_with("--") && word.find('=') == word.size() - 1)
      throw Error(ErrorKind::usage, word.substr(0, word.size() - 1),
                  "needs a value behind its =", "see " + app.get_name() + " --help");
  }
}

}  // namespace

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
  app.add_option("--conv-algorithm", options.conv_algorithm,
                 "How the CPU computes convolutions: auto (a rule by shape), direct, winograd\n"
                 "(every 3x3 of stride 1), or measure: the fastest for each shape, timed once,\n"
                 "kept in $KILN_CACHE_DIR, else ~/.cache/kiln, and named in the log")
      ->check(CLI::IsMember({"auto", "direct", "winograd", "measure"}))
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
                 "What to compute with: fp32, tf32, bf16, or on a device fp16: 16-bit\n"
                 "activations and copies of f32 weights, sums in f32")
      ->check(CLI::IsMember({"fp32", "tf32", "bf16", "fp16"}))
      ->capture_default_str();
}

namespace {

// `refuse(app)`: what is done about words that nobody asked for.
template <class Refuse>
void parse_words(CLI::App& app, int argc, char** argv, const Refuse& refuse) {
  std::vector<std::string> words = normalise_flags(argc, argv);
  refuse_no_value(app, words);
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
    // Such a word often explains what is missing.
    refuse(app);
    refuse_value(app, error);
  }
  refuse(app);
}

}  // namespace

void parse_flags(CLI::App& app, int argc, char** argv) {
  parse_words(app, argc, argv, refuse_extras);
}

// Whoever is no number fails every comparison.
void check_mean_and_std(std::span<const double> mean, std::span<const double> std) {
  for (const double value : mean)
    if (!(value >= -1e6 && value <= 1e6))
      throw Error(ErrorKind::usage, "--mean", "must be -1e6 to 1e6");
  for (const double value : std)
    if (!(value >= 1e-6 && value <= 1e6))
      throw Error(ErrorKind::usage, "--std", "must be 1e-6 to 1e6");
}

void parse_known_flags(CLI::App& app, int argc, char** argv) {
  parse_words(app, argc, argv, [](const CLI::App&) {});
}

}  // namespace kiln
