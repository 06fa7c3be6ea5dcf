// kiln-bench-overlap: what a data-parallel step takes beside its computing and its sums alone.
//
//   mpirun -n 2 kiln-bench-overlap --model lenet --batch 64 --trace lenet.json
//   kiln-bench-overlap --ranks 1 --model resnet18      one GPU's part of tools/scaling-model, for a
//   CPU
//
// Four things in turns, round by round: steps that tell nobody of their gradients; the sums of all
// buckets and nothing else; steps that add behind backward; steps that add while backward goes on.
// Of a round the slowest rank counts, then the median. The trace is of one step of the last kind,
// all ranks, in the format of chrome://tracing: every layer's backward, and every bucket from the
// moment its sum is started to the one at which it is seen to be done.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "bench/noise_pictures.h"
#include "engine/comm/launch.h"
#include "engine/comm/mpi_communicator.h"
#include "engine/comm/thread_communicator.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/train/gradient_reducer.h"
#include "engine/train/network.h"
#include "engine/train/optimizer.h"
#include "models/zoo.h"

namespace kiln {
namespace {

using Clock = std::chrono::steady_clock;

// The machine's clock, which all processes on it share.
double now() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

struct OverlapFlags {
  std::string model = "lenet", trace;
  std::int64_t batch = 64, rounds = 9;
  double seconds = 0.3;
  int ranks = 2;
  CommonOptions common;
};

struct Event {
  std::string name, lane;
  double begin = 0.0, end = 0.0;
};

// What happened in one step on one rank, in the order of the ends.
class Timeline {
 public:
  void clear() { events_.clear(); }
  void add(std::string name, std::string lane, double begin) {
    events_.push_back({std::move(name), std::move(lane), begin, now()});
  }
  const std::vector<Event>& events() const { return events_; }
  const Event& find(std::string_view name) const {
    const auto at = std::ranges::find(events_, name, &Event::name);
    if (at == events_.end()) throw Error(ErrorKind::io, std::string(name), "is not in the step");
    return *at;
  }

 private:
  std::vector<Event> events_;
};

// Writes down when the sums of another communicator begin and end. For gradients alone.
class TimedCommunicator final : public Communicator {
 public:
  TimedCommunicator(Communicator& inner, Timeline& timeline)
      : Communicator(inner.rank(), inner.size()), inner_(inner), timeline_(timeline) {}

  std::string description() const override { return inner_.description(); }
  bool overlap_pays() const override { return inner_.overlap_pays(); }
  void barrier() override { inner_.barrier(); }
  void abandon(std::string_view why) noexcept override { inner_.abandon(why); }
  // The elements of `bucket` are those at `data`; all other sums are scores.
  void name(const void* data, std::string bucket) { names_[data] = std::move(bucket); }

 protected:
  void do_all_reduce(const comm::Elements& e) override {
    const double begin = now();
    inner_.all_reduce(e);
    add(e.data, begin);
  }
  int do_start_all_reduce(const comm::Elements& e) override {
    int slot = 0;
    while (under_way_.at(static_cast<std::size_t>(slot)).data != nullptr) ++slot;
    under_way_[static_cast<std::size_t>(slot)] = {e.data, now(), inner_.start_all_reduce(e)};
    return slot;
  }
  bool do_test(int slot) override {
    Sum& sum = under_way_[static_cast<std::size_t>(slot)];
    if (!sum.reduction.test()) return false;
    add(std::exchange(sum.data, nullptr), sum.begin);
    return true;
  }
  void do_wait(int slot) override {
    Sum& sum = under_way_[static_cast<std::size_t>(slot)];
    sum.reduction.wait();
    add(std::exchange(sum.data, nullptr), sum.begin);
  }
  void do_broadcast(const comm::Elements& e, int root) override { inner_.broadcast(e, root); }
  void do_all_gather(const comm::Elements&, void*) override {
    throw Error(ErrorKind::unsupported, "all_gather", "is not timed");
  }
  void do_all_to_all(const comm::Elements&, void*) override {
    throw Error(ErrorKind::unsupported, "all_to_all", "is not timed");
  }

 private:
  struct Sum {
    const void* data = nullptr;  // null: free
    double begin = 0.0;
    Reduction reduction;
  };
  void add(const void* data, double begin) {
    const auto at = names_.find(data);
    const std::string& what = at == names_.end() ? scores_ : at->second;
    timeline_.add(what, what, begin);
  }

  const std::string scores_ = "scores";
  Communicator& inner_;
  Timeline& timeline_;
  std::map<const void*, std::string> names_;
  std::array<Sum, kMostReductions> under_way_;
};

// Hands on what backward says and writes down how long every layer took.
class LayerClock final : public BackwardListener {
 public:
  LayerClock(Timeline& timeline, BackwardListener* next) : timeline_(timeline), next_(next) {}
  void begin() { last_ = now(); }
  void layer_done(std::string_view layer) override {
    timeline_.add(std::string(layer) + " backward", "computing", last_);
    if (next_ != nullptr) next_->layer_done(layer);
    last_ = now();
  }

 private:
  Timeline& timeline_;
  BackwardListener* next_;
  double last_ = 0.0;
};

// The high-water mark of this process's resident memory.
std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kibibytes = 0;
  while (status >> word)
    if (word == "VmHWM:") status >> kibibytes;
  return kibibytes * 1024;
}

class OverlapBench {
 public:
  OverlapBench(const OverlapFlags& flags, Communicator& communicator)
      : flags_(flags),
        communicator_(communicator),
        log_(stderr, log_level(flags.common)),
        pool_(thread_count(flags.common)),
        context_(Device{}, pool_, log_, flags.common.deterministic),
        spec_(find_model(flags.model, 10)),
        parameters_(spec_, DType::f32, context_.device()),
        providers_(make_conv2d_providers(flags.common, context_.device(), log_)),
        optimizer_({.momentum = 0.9}, parameters_),
        network_(spec_, parameters_, context_, providers_,
                 {.batch_size = flags.batch, .mean_over = flags.batch * communicator.size()}),
        timed_(communicator, timeline_),
        behind_(timed_, parameters_, parameters_.flat_gradients(),
                {.buckets = {.overlap = Overlap::off}}),
        beside_(timed_, parameters_, parameters_.flat_gradients(),
                {.buckets = {.overlap = Overlap::on}}) {
    parameters_.initialise(1);
    context_.mode = Mode::train;
    draw_pictures();
    name_buckets();
  }

  nlohmann::ordered_json measure();
  nlohmann::ordered_json trace();

 private:
  void draw_pictures();
  void name_buckets();
  void step(GradientReducer* reducer);
  void sums_alone();
  double largest(double mine);
  std::int64_t repeats_of(double seconds);
  nlohmann::ordered_json plan();

  const OverlapFlags& flags_;
  Communicator& communicator_;
  Log log_;
  ThreadPool pool_;
  Context context_;
  ModelSpec spec_;
  ParameterStore parameters_;
  Conv2dProviders providers_;
  Optimizer optimizer_;
  Network network_;
  Timeline timeline_;
  TimedCommunicator timed_;
  GradientReducer behind_, beside_;
  std::vector<std::uint8_t> images_;
  std::vector<std::int32_t> labels_;
};

void OverlapBench::draw_pictures() {
  const auto picture = static_cast<std::size_t>(spec_.height * spec_.width * spec_.channels);
  labels_.resize(static_cast<std::size_t>(flags_.batch));
  images_.resize(labels_.size() * picture);
  bench::draw_noise(images_, labels_, spec_.class_count,
                    static_cast<std::uint32_t>(communicator_.rank()));
}

void OverlapBench::name_buckets() {
  const auto* gradients = static_cast<const std::byte*>(parameters_.flat_gradients().raw());
  for (std::size_t b = 0; b < beside_.plan().buckets.size(); ++b)
    timed_.name(
        gradients + static_cast<std::size_t>(beside_.plan().buckets[b].first) * sizeof(float),
        "bucket " + std::to_string(b));
}

// As Trainer takes one. A rate of 0 leaves the weights alone and costs the same.
void OverlapBench::step(GradientReducer* reducer) {
  timeline_.clear();
  double begin = now();
  if (reducer != nullptr) reducer->begin(context_);
  network_.set_input(context_, images_, labels_, {});
  network_.forward(context_);
  const BatchResult own = network_.loss(context_);
  timeline_.add("forward", "computing", begin);
  LayerClock clock(timeline_, reducer);
  context_.backward_listener = &clock;
  begin = now();
  clock.begin();
  network_.backward(context_);
  timeline_.add("backward", "computing", begin);
  context_.backward_listener = nullptr;
  begin = now();
  double sums[] = {own.loss_sum, static_cast<double>(own.hit_count)};
  if (reducer != nullptr) {
    reducer->finish(sums);
    timeline_.add("waiting for sums", "computing", begin);
    begin = now();
  }
  optimizer_.step(context_, 0.0);
  timeline_.add("update", "computing", begin);
}

void OverlapBench::sums_alone() {
  timeline_.clear();
  behind_.begin(context_);
  double sums[] = {0.0, 0.0};
  behind_.finish(sums);
}

// Over the ranks.
double OverlapBench::largest(double mine) {
  std::vector<double> all(static_cast<std::size_t>(communicator_.size()));
  communicator_.all_gather<double>(std::span<const double>(&mine, 1), all);
  return std::ranges::max(all);
}

// How often something that takes `seconds` is done in a round: the same on all ranks.
std::int64_t OverlapBench::repeats_of(double seconds) {
  return std::max<std::int64_t>(
      1, static_cast<std::int64_t>(flags_.seconds / std::max(largest(seconds), 1e-6)));
}

// Where the buckets lie in a step, for tools/scaling-model.
nlohmann::ordered_json OverlapBench::plan() {
  step(&beside_);
  step(&beside_);
  const auto milliseconds = [&](std::string_view name) {
    const Event& e = timeline_.find(name);
    return (e.end - e.begin) * 1e3;
  };
  nlohmann::ordered_json buckets = nlohmann::ordered_json::array();
  const Event& backward = timeline_.find("backward");
  for (std::size_t b = 0; b < beside_.plan().buckets.size(); ++b) {
    const double at = timeline_.find("bucket " + std::to_string(b)).begin;
    const double ready = (at - backward.begin) / (backward.end - backward.begin);
    buckets.push_back(
        {{"bytes", beside_.plan().buckets[b].count() * 4}, {"ready", std::clamp(ready, 0.0, 1.0)}});
  }
  return {{"step",
           {{"forward_ms", milliseconds("forward")},
            {"backward_ms", milliseconds("backward")},
            {"update_ms", milliseconds("update")}}},
          {"buckets", buckets}};
}

nlohmann::ordered_json OverlapBench::measure() {
  struct Kind {
    const char* name;
    std::function<void()> once;
    std::int64_t repeats = 1;
    std::vector<double> rounds = {};
  };
  Kind kinds[] = {{"compute_ms", [&] { step(nullptr); }},
                  {"sums_ms", [&] { sums_alone(); }},
                  {"behind_ms", [&] { step(&behind_); }},
                  {"beside_ms", [&] { step(&beside_); }}};
  const auto time = [&](const Kind& kind) {
    communicator_.barrier();
    const double begin = now();
    for (std::int64_t i = 0; i < kind.repeats; ++i) kind.once();
    return (now() - begin) / static_cast<double>(kind.repeats);
  };
  for (Kind& kind : kinds) {
    time(kind);
    kind.repeats = repeats_of(time(kind));
  }
  for (std::int64_t round = 0; round < flags_.rounds; ++round)
    for (Kind& kind : kinds) kind.rounds.push_back(largest(time(kind)) * 1e3);
  nlohmann::ordered_json json = {{"model", flags_.model},
                                 {"batch", flags_.batch},
                                 {"ranks", communicator_.size()},
                                 {"threads", pool_.thread_count()},
                                 {"communicator", communicator_.description()},
                                 {"gradient_bytes", parameters_.flat_gradients().size_bytes()},
                                 {"reducer", beside_.description()}};
  for (Kind& kind : kinds) {
    std::ranges::sort(kind.rounds);
    json[kind.name] = {{"median", kind.rounds[kind.rounds.size() / 2]},
                       {"low", kind.rounds.front()},
                       {"high", kind.rounds.back()}};
  }
  json["peak_rss_bytes"] =
      static_cast<std::int64_t>(largest(static_cast<double>(peak_resident_bytes())));
  json.update(plan());
  return json;
}

// One step with all it did, of all ranks.
nlohmann::ordered_json OverlapBench::trace() {
  communicator_.barrier();
  for (int i = 0; i < 3; ++i) step(&beside_);
  nlohmann::ordered_json mine = nlohmann::ordered_json::array();
  for (const Event& e : timeline_.events())
    mine.push_back({{"name", e.name},
                    {"ph", "X"},
                    {"pid", communicator_.rank()},
                    {"tid", e.lane},
                    {"ts", e.begin * 1e6},
                    {"dur", (e.end - e.begin) * 1e6}});
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const std::string& text : all_gather_text(communicator_, mine.dump()))
    for (auto& event : nlohmann::ordered_json::parse(text)) all.push_back(event);
  return {{"traceEvents", all}, {"displayTimeUnit", "ms"}};
}

void run_rank(const OverlapFlags& flags, Communicator& communicator) {
  OverlapBench bench(flags, communicator);
  const nlohmann::ordered_json result = bench.measure(), trace = bench.trace();
  if (communicator.rank() != 0) return;
  if (!flags.trace.empty()) write_file_atomic(flags.trace, trace.dump(1) + "\n");
  std::printf("%s\n", result.dump().c_str());
}

int run(int argc, char** argv) {
  OverlapFlags flags;
  CLI::App app("Times steps of several ranks beside their computing and their sums alone.",
               "kiln-bench-overlap");
  app.add_option("--model", flags.model, "lenet, mnist, resnet18 or a spec file");
  app.add_option("--batch", flags.batch, "pictures of each rank")->check(CLI::Range(1, 1 << 20));
  app.add_option("--ranks", flags.ranks, "as threads; mpirun's otherwise")
      ->check(CLI::Range(1, 1024));
  app.add_option("--rounds", flags.rounds)->check(CLI::Range(1, 1000));
  app.add_option("--seconds", flags.seconds, "of each kind in a round, about")
      ->check(CLI::Range(0.001, 600.0));
  app.add_option("--trace", flags.trace, "file for a step's events, for chrome://tracing");
  flags.common.log_level = "quiet";
  flags.common.thread_count = 1;
  add_common_options(app, flags.common);
  parse_flags(app, argc, argv);
  if (rank_environment().launcher == RankEnvironment::Launcher::open_mpi)
    run_rank(flags, *make_mpi_communicator({}));
  else
    run_thread_ranks({.size = flags.ranks},
                     [&](Communicator& communicator) { run_rank(flags, communicator); });
  return 0;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) {
  return kiln::run_app("kiln-bench-overlap", argc, argv, kiln::run);
}
