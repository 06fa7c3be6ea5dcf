// Figures of the data room, as plain lines:
//   kiln-data-bench loader            images per second of crop, flip and assembly
//   kiln-data-bench load DIR          seconds from a folder or archive to ready-to-train, both
//   splits
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "engine/data/loader.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

kiln::Dataset grey_dataset(std::int64_t count) {
  kiln::DatasetInfo info{.height = 32, .width = 32, .channels = 3, .class_names = {"any"}};
  kiln::Buffer images(kiln::Device{}, static_cast<std::size_t>(count * 3072));
  std::memset(images.data(), 77, images.size_bytes());  // every page is really there
  return kiln::Dataset(std::move(info), std::move(images),
                       std::vector<std::int32_t>(static_cast<std::size_t>(count)));
}

// The fastest of five epochs.
double loader_images_per_second(const kiln::Dataset& dataset, const kiln::LoaderOptions& options) {
  kiln::Loader loader(dataset, options);
  double best = 1e9;
  for (std::uint32_t epoch = 0; epoch < 5; ++epoch) {
    const auto begin = std::chrono::steady_clock::now();
    loader.start_epoch(epoch);
    std::int64_t checksum = 0;
    while (const kiln::Batch* batch = loader.next()) checksum += batch->images[0] + batch->count;
    if (checksum == 0) std::abort();
    best = std::min(best, seconds_since(begin));
  }
  return static_cast<double>(dataset.size()) / best;
}

void bench_loader() {
  const kiln::Dataset dataset = grey_dataset(50'000);
  for (const std::int64_t batch_size : {4, 64, 512})
    for (const int workers : {0, 1, 2}) {
      kiln::LoaderOptions options{.batch_size = batch_size, .workers = workers};
      const double plain = loader_images_per_second(dataset, options);
      options.augmentation = {.crop_padding = 4, .flip = kiln::Augmentation::Flip::random};
      std::printf("loader batch %4lld workers %d: shuffled %9.0f images/s, crop and flip %9.0f\n",
                  static_cast<long long>(batch_size), workers, plain,
                  loader_images_per_second(dataset, options));
    }
}

void bench_load(const char* path) {
  kiln::Log log;
  kiln::ThreadPool pool(kiln::ThreadPool::available_cpu_count());
  for (int run = 0; run < 3; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    const kiln::DatasetPair pair = kiln::load_dataset_pair(path, log, pool);
    std::printf("load %s: %lld pictures in %.3f s on %d threads\n", path,
                static_cast<long long>(pair.train.size() + pair.test.size()), seconds_since(begin),
                pool.thread_count());
  }
}

}  // namespace

int main(int argument_count, char** arguments) try {
  const std::string what = argument_count > 1 ? arguments[1] : "";
  if (what == "loader" && argument_count == 2) {
    bench_loader();
  } else if (what == "load" && argument_count == 3) {
    bench_load(arguments[2]);
  } else {
    std::fprintf(stderr, "usage: kiln-data-bench loader | kiln-data-bench load DIR\n");
    return 2;
  }
  return 0;
} catch (const kiln::Error& error) {
  std::fprintf(stderr, "kiln-data-bench: %s\n", error.what());
  return error.exit_code();
}
