// A network with its context, for tests.
#pragma once

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/rng.h"
#include "engine/data/dataset.h"
#include "engine/train/network.h"
#include "kernels/include/conv2d_provider.h"
#include "models/spec.h"

namespace kiln::test {

struct Workbench {
  explicit Workbench(int thread_count = 1, bool deterministic = false,
                     CpuConv2dAlgorithm algorithm = CpuConv2dAlgorithm::automatic)
      : pool(thread_count),
        context(Device{}, pool, log, deterministic),
        providers(make_cpu_conv2d_providers(log, CpuConv2dChoice::own, algorithm)) {}

  Log log{stderr, LogLevel::quiet};
  ThreadPool pool;
  Context context;
  Conv2dProviders providers;
};

struct RandomBatch {
  RandomBatch(const ModelSpec& spec, std::int64_t count, std::uint64_t seed)
      : images(static_cast<std::size_t>(count * spec.height * spec.width * spec.channels)),
        labels(static_cast<std::size_t>(count)) {
    RandomSequence numbers(seed, RandomStream::synthesise, 7);
    for (auto& pixel : images) pixel = static_cast<std::uint8_t>(numbers.next_below(256));
    for (auto& label : labels)
      label = static_cast<std::int32_t>(
          numbers.next_below(static_cast<std::uint32_t>(spec.class_count)));
  }
  std::vector<std::uint8_t> images;
  std::vector<std::int32_t> labels;
};

inline Dataset random_dataset(const ModelSpec& spec, std::int64_t count) {
  const RandomBatch data(spec, count, 77);
  DatasetInfo info{.name = "random",
                   .height = spec.height,
                   .width = spec.width,
                   .channels = spec.channels,
                   .class_names = std::vector<std::string>(10, "class")};
  Buffer images(Device{}, data.images.size());
  std::memcpy(images.data(), data.images.data(), data.images.size());
  return Dataset(info, std::move(images), data.labels);
}

inline double forward_loss(Network& network, Context& context) {
  network.forward(context);
  return network.loss(context).loss_sum / static_cast<double>(network.batch_size());
}

}  // namespace kiln::test
