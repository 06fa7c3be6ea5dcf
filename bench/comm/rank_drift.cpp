// Two trainings of one LeNet that differ in last bits alone, side by side: how far their weights
// come apart, and at which steps. The second adds its gradients in parts, as ranks do, or, with
// --parts 1, begins with every other weight changed by one unit in the last place.
//
//   kiln-bench-rank-drift --parts 2 --lr 0.01 --seeds 30
//
// A step's decisions are which pixel wins a pooling window and which relu is open. Between two
// changes of a decision the loss is smooth in the weights, so gradients differ as little as the
// weights do; where a decision differs, by a whole summand. The table has the first step at which a
// decision differs, and the gradients' difference, norm over norm: the largest of the steps before,
// and that of the step itself.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/rng.h"
#include "engine/data/loader.h"
#include "engine/train/network.h"
#include "engine/train/optimizer.h"
#include "kernels/include/accumulate.h"
#include "models/zoo.h"

namespace kiln {
namespace {

struct Settings {
  std::int64_t parts = 2, batch = 24, steps = 50, seeds = 10;
  double lr = 0.01, momentum = 0.9;
};

// Pictures of random pixels.
Dataset random_pictures(const ModelSpec& spec, std::int64_t count) {
  RandomSequence numbers(77, RandomStream::synthesise, 7);
  Buffer images(Device{}, static_cast<std::size_t>(count * spec.height * spec.width * 3));
  auto* pixels = reinterpret_cast<std::uint8_t*>(images.data());
  for (std::size_t i = 0; i < images.size_bytes(); ++i)
    pixels[i] = static_cast<std::uint8_t>(numbers.next_below(256));
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < count; ++i)
    labels.push_back(static_cast<std::int32_t>(numbers.next_below(10)));
  return {{.name = "random",
           .height = spec.height,
           .width = spec.width,
           .channels = 3,
           .class_names = std::vector<std::string>(10, "class")},
          std::move(images),
          labels};
}

double relative_difference(const Tensor& a, const Tensor& b) {
  double difference = 0, norm = 0;
  for (std::int64_t i = 0; i < a.element_count(); ++i) {
    const auto x = static_cast<double>(a.data<float>()[i]),
               y = static_cast<double>(b.data<float>()[i]);
    difference += (x - y) * (x - y);
    norm += y * y;
  }
  return std::sqrt(difference / norm);
}

// One number for each relu and pooling window of each layer: the pixel that won, or 0 where the
// relu is open; -1 where it is shut.
using Decisions = std::vector<std::vector<int>>;

// Puts what a network has decided in its last forward pass behind what is there.
void add_decisions(const Network& network, Decisions& decisions) {
  const Memory& memory = network.memory();
  const auto& slots = memory.plan().slots;
  const auto& layers = network.chain().layers();
  decisions.resize(layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const Tensor y = memory[layers[l]->output()];
    const auto index = std::ranges::find(slots, layers[l]->name() + ".index", &SlotPlan::name);
    const std::uint8_t* winners =
        index == slots.end()
            ? nullptr
            : memory[Slot{static_cast<int>(index - slots.begin())}].data<std::uint8_t>();
    if (winners == nullptr && layers[l]->description().find("relu") == std::string::npos) continue;
    for (std::int64_t i = 0; i < y.element_count(); ++i)
      decisions[l].push_back(y.data<float>()[i] > 0 ? (winners == nullptr ? 0 : winners[i]) : -1);
  }
}

class Training {
 public:
  Training(const ModelSpec& spec, const Settings& s, std::int64_t parts, std::uint64_t seed,
           Context& c, Conv2dProviders& providers)
      : c_(c), store_(spec, DType::f32, Device{}), optimizer_({.momentum = s.momentum}, store_) {
    store_.initialise(seed);
    sum_ = Buffer(Device{}, store_.flat_gradients().size_bytes());
    for (std::int64_t part = 0; part < parts; ++part) {
      cuts_.push_back(s.batch * part / parts);
      const std::int64_t count = s.batch * (part + 1) / parts - cuts_.back();
      networks_.push_back(std::make_unique<Network>(
          spec, store_, c, providers,
          NetworkOptions{.batch_size = count, .mean_over = s.batch, .arena = {.share = false}}));
    }
  }
  Tensor values() const { return store_.flat_values(); }
  Tensor gradients() const {
    return {sum_.data(), store_.flat_gradients().shape(), DType::f32, Device{}};
  }
  const Decisions& decisions() const { return decisions_; }

  void change_last_bits() {
    RandomSequence numbers(5, RandomStream::synthesise, 1);
    for (float& x : values().elements<float>())
      if (x != 0 && numbers.next_below(2) == 0)
        x = std::nextafter(x, std::numeric_limits<float>::infinity());
  }
  // The gradient, part by part, and the update.
  void step(const Batch& batch, double rate) {
    for (auto& of_layer : decisions_) of_layer.clear();
    std::memset(sum_.data(), 0, sum_.size_bytes());
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      Network& network = *networks_[i];
      const auto first = static_cast<std::size_t>(cuts_[i]);
      const auto count = static_cast<std::size_t>(network.batch_size());
      const std::size_t bytes = batch.images.size() / batch.labels.size();
      network.set_input(c_, batch.images.subspan(first * bytes, count * bytes),
                        batch.labels.subspan(first, count), {});
      network.forward(c_);
      network.loss(c_);
      network.backward(c_);
      add_decisions(network, decisions_);
      accumulate(c_, {.x = store_.flat_gradients(), .y = gradients()});
    }
    std::memcpy(store_.flat_gradients().raw(), sum_.data(), sum_.size_bytes());
    optimizer_.step(c_, rate);
  }

 private:
  Context& c_;
  ParameterStore store_;
  Optimizer optimizer_;
  Buffer sum_;
  std::vector<std::int64_t> cuts_;
  std::vector<std::unique_ptr<Network>> networks_;
  Decisions decisions_;
};

struct Drift {
  std::int64_t first_step = 0, steps = 0;  // with another decision
  double before = 0, at_first = 0;         // difference of the gradients
};

void look(const Training& a, const Training& b, std::int64_t step, Drift& drift) {
  const double gradients = relative_difference(b.gradients(), a.gradients());
  const bool equal = a.decisions() == b.decisions();
  if (equal && drift.steps == 0) drift.before = std::max(drift.before, gradients);
  if (equal || drift.steps++ > 0) return;
  drift.first_step = step;
  drift.at_first = gradients;
}

void run(const Settings& s) {
  const ModelSpec spec = lenet();
  Log log(stderr, LogLevel::quiet);
  ThreadPool pool(1);
  Context context(Device{}, pool, log);
  Conv2dProviders providers = make_cpu_conv2d_providers(log, CpuConv2dChoice::own);
  const Dataset data = random_pictures(spec, s.batch * s.steps);
  std::printf("        another decision     gradients differ by      weights\n");
  std::printf("seed  steps  first at step  before it  at that step  at the end\n");
  for (std::int64_t seed = 1; seed <= s.seeds; ++seed) {
    const auto key = static_cast<std::uint64_t>(seed);
    Training a(spec, s, 1, key, context, providers);
    Training b(spec, s, s.parts, key, context, providers);
    if (s.parts == 1) b.change_last_bits();
    Loader loader(data, {.batch_size = s.batch, .seed = key});
    loader.start_epoch(0);
    Drift drift;
    for (std::int64_t step = 1; const Batch* batch = loader.next(); ++step) {
      a.step(*batch, s.lr);
      b.step(*batch, s.lr);
      look(a, b, step, drift);
    }
    std::printf("%4lld  %5lld  %13lld  %9.1e  %12.1e  %10.1e\n", static_cast<long long>(seed),
                static_cast<long long>(drift.steps), static_cast<long long>(drift.first_step),
                drift.before, drift.at_first, relative_difference(b.values(), a.values()));
  }
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) {
  kiln::Settings s;
  CLI::App app("Weights of two trainings that differ in last bits.");
  app.add_option("--parts", s.parts, "of a batch, as of so many ranks; 1: other last bits instead");
  app.add_option("--batch", s.batch);
  app.add_option("--steps", s.steps);
  app.add_option("--seeds", s.seeds);
  app.add_option("--lr", s.lr);
  app.add_option("--momentum", s.momentum);
  CLI11_PARSE(app, argc, argv);
  kiln::run(s);
  return 0;
}
