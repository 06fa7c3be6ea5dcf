// kiln-step-bench: images per second of whole training steps, and where the time goes.
//
// Pictures lie in memory as bytes; a step is normalise, forward, loss, backward, update, exactly
// what kiln train runs. Before anything is timed, a hundred steps (--verify-steps) on one batch
// must bring its loss down: a step that computes nonsense is not worth timing.
//
// The backward pass of a pooled convolution visits live windows only, so the pictures may matter:
// --pictures takes a data set, the synthetic set or noise.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "bench/noise_pictures.h"
#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "engine/data/synth.h"
#include "engine/train/mixed_precision.h"
#include "engine/train/optimizer.h"
#include "engine/train/train_pass.h"
#include "models/zoo.h"

namespace kiln {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct StepFlags {
  std::string model = "lenet";
  std::string pictures;
  std::int64_t batch = 64;
  double seconds = 2.0;
  int verify_steps = 100;
  bool profile = false;
  bool inference = false;
  CommonOptions common;
};

class StepBench {
 public:
  static constexpr double kLearningRate = 0.01;

  explicit StepBench(const StepFlags& flags)
      : flags_(flags),
        log_(stderr, log_level(flags.common)),
        pool_(thread_count(flags.common)),
        context_(choose_device(flags.common, log_), pool_, log_, flags.common.deterministic),
        spec_(find_model(flags.model, 10)),
        parameters_(spec_, DType::f32, context_.device(),
                    choose_storage(flags.common, context_.device(), log_)),
        providers_(make_conv2d_providers(flags.common, context_.device(), log_)),
        optimizer_({.momentum = 0.9}, parameters_),
        pictures_(flags.pictures) {
    if (pictures_.empty()) pictures_ = takes(32, 32, 3, 10) ? "synth" : "noise";
    parameters_.initialise(1);
    refresh_copies(context_, parameters_);
    if (flags.inference)
      network_ =
          std::make_unique<Network>(spec_, parameters_, context_, providers_,
                                    NetworkOptions{.batch_size = flags.batch, .training = false});
    else
      pass_.emplace(spec_, parameters_, context_, providers_,
                    TrainPassOptions{.batch_size = flags.batch});
    context_.mode = flags.inference ? Mode::eval : Mode::train;
    draw_pictures();
  }

  // Steps on one batch: the loss must fall.
  void verify() {
    if (flags_.inference) return;
    const double before = step(kLearningRate);
    for (int i = 0; i < flags_.verify_steps; ++i) step(kLearningRate);
    const double after = step(kLearningRate);
    if (!(after < 0.999 * before))
      throw Error(ErrorKind::diverged, "verification",
                  std::to_string(flags_.verify_steps) + " steps took the loss from " +
                      std::to_string(before) + " to " + std::to_string(after));
  }

  // Steps for `seconds`, timed in rounds of about 50 ms; returns images/s of every round.
  std::vector<double> time() {
    const auto first = Clock::now();
    step();
    const auto per_round = std::max<std::int64_t>(
        1, static_cast<std::int64_t>(0.05 / std::max(seconds_since(first), 1e-7)));
    std::vector<double> rates;
    for (const auto begin = Clock::now(); seconds_since(begin) < flags_.seconds;) {
      const auto round = Clock::now();
      for (std::int64_t i = 0; i < per_round; ++i) step();
      rates.push_back(static_cast<double>(per_round * flags_.batch) / seconds_since(round));
    }
    std::ranges::sort(rates);
    return rates;
  }

  // Mean microseconds of each part of a step whose threads share every op (TrainPass, "by ops").
  std::vector<std::pair<std::string, double>> profile() {
    Network network(spec_, parameters_, context_, providers_,
                    {.batch_size = flags_.batch, .training = !flags_.inference});
    std::vector<std::pair<std::string, double>> parts;
    const auto measure = [&](const std::string& name, const auto& run) {
      const auto begin = Clock::now();
      run();
      const double us = seconds_since(begin) * 1e6;
      const auto known = std::ranges::find(parts, name, &std::pair<std::string, double>::first);
      if (known == parts.end())
        parts.emplace_back(name, us);
      else
        known->second += us;
    };
    int rounds = 0;
    for (const auto begin = Clock::now(); seconds_since(begin) < flags_.seconds; ++rounds)
      profile_step(network, measure);
    for (auto& [name, us] : parts) us /= std::max(rounds, 1);
    return parts;
  }

  std::string arrangement() const { return pass_ ? pass_->description() : "by ops"; }
  int used_threads() const { return pool_.thread_count(); }
  const std::string& pictures() const { return pictures_; }

 private:
  template <class Measure>
  void profile_step(Network& network, const Measure& measure) {
    const auto& layers = network.chain().layers();
    const Memory& memory = network.memory();
    measure("normalise", [&] { network.set_input(context_, images_, labels_, {}); });
    for (const auto& layer : layers)
      measure(layer->name() + " forward", [&] { layer->forward(context_, memory); });
    measure("loss", [&] { network.loss(context_); });
    if (flags_.inference) return;
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer)
      measure((*layer)->name() + " backward", [&] { (*layer)->backward(context_, memory); });
    measure("optimizer", [&] { optimizer_.step(context_, 0.0); });
  }
  void draw_pictures() {
    const auto picture = static_cast<std::size_t>(spec_.height * spec_.width * spec_.channels);
    images_.resize(static_cast<std::size_t>(flags_.batch) * picture);
    labels_.resize(static_cast<std::size_t>(flags_.batch));
    if (pictures_ == "noise") return bench::draw_noise(images_, labels_, spec_.class_count, 1);
    if (pictures_ == "synth") {
      require_pictures(32, 32, 3, 10);
      for (std::size_t i = 0; i < labels_.size(); ++i)
        labels_[i] = draw_synthetic_picture(1, Split::train, static_cast<std::int64_t>(i),
                                            &images_[i * picture]);
      return;
    }
    const Dataset set = load_dataset(pictures_, Split::train, log_, pool_);
    require_pictures(set.info().height, set.info().width, set.info().channels, set.class_count());
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      const auto from = static_cast<std::int64_t>(i) % set.size();
      std::ranges::copy(set.image(from),
                        images_.begin() + static_cast<std::ptrdiff_t>(i * picture));
      labels_[i] = set.label(from);
    }
  }
  bool takes(std::int64_t height, std::int64_t width, std::int64_t channels,
             std::int64_t classes) const {
    return height == spec_.height && width == spec_.width && channels == spec_.channels &&
           classes == spec_.class_count;
  }
  void require_pictures(std::int64_t height, std::int64_t width, std::int64_t channels,
                        std::int64_t classes) const {
    if (!takes(height, width, channels, classes))
      throw Error(ErrorKind::usage, "--pictures " + pictures_,
                  "have another size or number of classes than " + flags_.model + " takes",
                  "use --pictures noise or another data set");
  }
  // A rate of 0 leaves the weights alone and costs the same.
  double step(double learning_rate = 0.0) {
    if (network_) {
      network_->set_input(context_, images_, labels_, {});
      network_->forward(context_);
      return network_->loss(context_).loss_sum;
    }
    const double loss = pass_->run_apart(context_, images_, labels_, {}).loss_sum;
    optimizer_.step(context_, learning_rate, pass_->rest());
    return loss;
  }

  const StepFlags& flags_;
  Log log_;
  ThreadPool pool_;
  Context context_;
  ModelSpec spec_;
  ParameterStore parameters_;
  Conv2dProviders providers_;
  std::unique_ptr<Network> network_;  // inference
  std::optional<TrainPass> pass_;     // training
  Optimizer optimizer_;
  std::string pictures_;
  std::vector<std::uint8_t> images_;
  std::vector<std::int32_t> labels_;
};

int run(int argc, char** argv) {
  StepFlags flags;
  CLI::App app("Times whole training steps; prints one JSON object.", "kiln-step-bench");
  app.add_option("--model", flags.model,
                 "lenet, mnist, resnet9, resnet18, speedrun94 or a spec file");
  app.add_option("--pictures", flags.pictures,
                 "synth, noise or the folder of a data set; synth where it fits the model");
  app.add_option("--batch", flags.batch, "pictures in a step")->check(CLI::Range(1, 1 << 20));
  app.add_option("--seconds", flags.seconds, "how long to measure")
      ->check(CLI::Range(0.01, 3600.0));
  app.add_option("--verify-steps", flags.verify_steps,
                 "steps on one batch before anything is timed, which must bring its loss down")
      ->check(CLI::Range(1, 100000));
  app.add_flag("--profile", flags.profile,
               "also print the mean time of every part, when the threads share each op");
  app.add_flag("--inference", flags.inference, "forward only");
  flags.common.log_level = "quiet";
  add_common_options(app, flags.common);
  add_math_option(app, flags.common);
  parse_flags(app, argc, argv);

  StepBench bench(flags);
  bench.verify();
  const std::vector<double> rates = bench.time();
  nlohmann::ordered_json json{{"model", flags.model},
                              {"pictures", bench.pictures()},
                              {"batch", flags.batch},
                              {"threads", bench.used_threads()},
                              {"deterministic", flags.common.deterministic},
                              {"mode", flags.inference ? "inference" : "training"},
                              {"isa", instruction_set()},
                              {"math", flags.common.math},
                              {"shared", bench.arrangement()},
                              {"images_per_second", rates[rates.size() / 2]},
                              {"low", rates.front()},
                              {"high", rates.back()},
                              {"rounds", rates.size()}};
  if (flags.profile) {
    double sum = 0;
    for (const auto& [name, us] : bench.profile()) {
      std::fprintf(stderr, "%-24s %10.1f us\n", name.c_str(), us);
      sum += us;
    }
    std::fprintf(stderr, "%-24s %10.1f us\n", "sum", sum);
  }
  std::printf("%s\n", json.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln-step-bench", argc, argv, kiln::run); }
