// Recognises the layout of a data set and hands it to its reader.
#include <filesystem>
#include <string>
#include <utility>

#include "engine/data/dataset.h"
#include "engine/data/formats/cifar_archive.h"
#include "engine/data/formats/cifar_binary.h"
#include "engine/data/formats/cifar_python.h"
#include "engine/data/formats/common.h"
#include "engine/data/formats/idx.h"
#include "engine/data/formats/image_folder.h"
#include "engine/data/formats/recognise.h"
#include "engine/data/parallel.h"
#include "engine/image/resize.h"

namespace kiln {
namespace formats {
namespace {

std::optional<Recognised> find_cifar(const Path& path) {
  for (const Path& folder : {path, path / "cifar-10-batches-bin", path / "cifar-10-batches-py"}) {
    if (is_cifar_binary(folder)) return Recognised{Format::cifar_binary, folder};
    if (is_cifar_python(folder)) return Recognised{Format::cifar_python, folder};
  }
  return std::nullopt;
}

// Training and test files in a folder each; either may hold the others too.
std::optional<Recognised> find_split_cifar(const Path& path) {
  const Path train = split_folder(path, Split::train), test = split_folder(path, Split::test);
  if (train.empty() || test.empty()) return std::nullopt;
  auto found = find_cifar(train);
  const auto of_test = find_cifar(test);
  if (!found || !of_test || found->format != of_test->format) return std::nullopt;
  found->test_place = of_test->place;
  return found;
}

// The one archive that there is, whatever its name.
std::optional<Recognised> find_lone_archive(const Path& path) {
  std::optional<Recognised> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    const std::string name = entry.path().filename();
    const bool fits = name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".tar");
    if (!fits || name.starts_with(".") || !is_file(entry.path())) continue;
    if (found) return std::nullopt;
    found = Recognised{Format::archive, entry.path()};
  }
  return found;
}

std::optional<Recognised> find(const Path& path) {
  if (is_file(path)) return Recognised{Format::archive, path};
  if (!is_folder(path)) return std::nullopt;
  if (auto cifar = find_cifar(path)) return cifar;
  if (is_idx(path)) return Recognised{Format::idx, path};
  for (const char* name : {"cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"})
    if (is_file(path / name)) return Recognised{Format::archive, path / name};
  if (is_image_folder(path)) return Recognised{Format::image_folder, path};
  if (auto cifar = find_split_cifar(path)) return cifar;
  return find_lone_archive(path);
}

}  // namespace

Recognised recognise(const Path& path) {
  if (const auto found = find(path)) return *found;
  if (!is_folder(path))
    throw Error(ErrorKind::input, printable(path.string(), 4096), "is not there",
                "name a folder or file of a data set");
  refuse(path, "holds no data set that kiln knows", "kiln data --help names the layouts");
}

}  // namespace formats

std::optional<DataLayout> find_layout(const Path& path) {
  const auto found = formats::find(path);
  return found ? std::optional(found->format) : std::nullopt;
}

namespace {

using formats::Format;
using formats::Recognised;

std::string grouped(std::int64_t count) {
  std::string digits = std::to_string(count);
  for (auto at = static_cast<std::int64_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

void log_dataset(Log& log, const Dataset& dataset, Split split) {
  const DatasetInfo& info = dataset.info();
  log.info("data: " + grouped(dataset.size()) + " " + std::string(name_of(split)) +
           " pictures of " + std::to_string(info.height) + "x" + std::to_string(info.width) + "x" +
           std::to_string(info.channels) + " in " + std::to_string(dataset.class_count()) +
           " classes (" + info.origin + ")");
}

formats::CifarArchive read_archive(const Path& path, bool train, bool test) {
  const auto source = formats::open_source(path, formats::kMaxArchiveBytes);
  return formats::load_cifar_archive(path, *source, train, test);
}

Dataset read_split(const Recognised& found, const Path& path, Split split, Log& log,
                   ThreadPool& pool, const LoadOptions& options) {
  switch (found.format) {
    case Format::cifar_binary:
      return formats::load_cifar_binary(path, found.place_of(split), split, pool);
    case Format::cifar_python:
      return formats::load_cifar_python(path, found.place_of(split), split);
    case Format::idx:
      return formats::load_idx(path, found.place, split);
    case Format::image_folder:
      return formats::load_image_folder(path, found.place, split, log, pool, options);
    case Format::archive:
      break;
  }
  const bool train = split == Split::train;
  auto archive = read_archive(found.place, train, !train);
  return std::move(train ? *archive.train : *archive.test);
}

// Formats of a fixed size are resized as a whole; image folders did it picture by picture.
Dataset resized(Dataset dataset, ThreadPool& pool, const LoadOptions& options) {
  const DatasetInfo& old = dataset.info();
  if (!options.resize || *options.resize == ImageSize{old.height, old.width}) return dataset;
  DatasetInfo info = old;
  info.height = options.resize->height;
  info.width = options.resize->width;
  const std::int64_t image_bytes = info.height * info.width * info.channels;
  Buffer images = formats::image_buffer(info.name, dataset.size(), image_bytes);
  std::vector<Resizer> resizers(static_cast<std::size_t>(pool.thread_count()));
  parallel_try(pool, dataset.size(), [&](std::int64_t i, int thread) {
    if (options.pause && i % 64 == 0) options.pause();
    Image image{.width = static_cast<int>(old.width),
                .height = static_cast<int>(old.height),
                .channels = static_cast<int>(old.channels),
                .bytes = {dataset.image(i).begin(), dataset.image(i).end()}};
    resizers[static_cast<std::size_t>(thread)].resize(
        image, *options.resize, reinterpret_cast<std::uint8_t*>(images.data()) + i * image_bytes);
  });
  std::vector<std::int32_t> labels(dataset.labels().begin(), dataset.labels().end());
  return Dataset(std::move(info), std::move(images), std::move(labels));
}

void check_resize(const LoadOptions& options) {
  if (!options.resize) return;
  const auto [height, width] = *options.resize;
  if (height < 1 || width < 1 || height > 4096 || width > 4096)
    throw Error(ErrorKind::usage, "size " + std::to_string(height) + "x" + std::to_string(width),
                "is not possible", "use 1x1 to 4096x4096");
}

}  // namespace

Dataset load_dataset(const Path& path, Split split, Log& log, ThreadPool& pool,
                     const LoadOptions& options) {
  check_resize(options);
  Dataset dataset =
      resized(read_split(formats::recognise(path), path, split, log, pool, options), pool, options);
  log_dataset(log, dataset, split);
  return dataset;
}

DatasetPair load_dataset_pair(const Path& path, Log& log, ThreadPool& pool,
                              const LoadOptions& options) {
  check_resize(options);
  const Recognised found = formats::recognise(path);
  DatasetPair pair;
  if (found.format == Format::archive) {
    auto archive = read_archive(found.place, true, true);
    pair = {std::move(*archive.train), std::move(*archive.test)};
  } else {
    pair.train = read_split(found, path, Split::train, log, pool, options);
    if (options.pause) options.pause();
    pair.test = read_split(found, path, Split::test, log, pool, options);
    if (pair.test.info().class_names != pair.train.info().class_names)
      formats::refuse(found.place_of(Split::test),
                      "names other classes than the training pictures have",
                      "give both the same list of classes");
  }
  pair.train = resized(std::move(pair.train), pool, options);
  pair.test = resized(std::move(pair.test), pool, options);
  log_dataset(log, pair.train, Split::train);
  log_dataset(log, pair.test, Split::test);
  return pair;
}

}  // namespace kiln
