#include "engine/data/write.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "engine/data/formats/cifar_binary.h"
#include "engine/data/formats/common.h"
#include "engine/data/output_folder.h"
#include "engine/data/parallel.h"
#include "engine/image/image_codec.h"

namespace kiln {
namespace {

std::string class_lines(const Dataset& dataset) {
  std::string lines;
  for (const std::string& name : dataset.info().class_names) lines += name + "\n";
  return lines;
}

// Done of total over all files of a data set.
class Counter {
 public:
  Counter(const Progress& progress, std::int64_t total) : progress_(progress), total_(total) {}
  void add(std::int64_t count) {
    done_ += count;
    if (progress_) progress_(done_, total_);
  }

 private:
  const Progress& progress_;
  std::int64_t total_;
  std::int64_t done_ = 0;
};

[[noreturn]] void refuse(std::string_view format, const std::string& wrong, std::string_view mend) {
  throw Error(ErrorKind::usage, "format " + std::string(format), wrong, mend);
}

std::string extents_of(const DatasetInfo& info) {
  return std::to_string(info.height) + "x" + std::to_string(info.width) + "x" +
         std::to_string(info.channels);
}

void check(DatasetFormat format, const DatasetPair& data) {
  const DatasetInfo& info = data.train.info();
  if (extents_of(info) != extents_of(data.test.info()) ||
      info.class_names != data.test.info().class_names)
    throw Error(ErrorKind::input, info.name, "has test pictures of another form or other classes");
  if (format == DatasetFormat::folder) return;
  if (info.class_names.size() > 256)
    refuse("cifar10-binary or idx", "holds at most 256 classes", "use --format folder");
  if (format == DatasetFormat::cifar10_binary && extents_of(info) != "32x32x3")
    refuse("cifar10-binary", "holds pictures of 32x32x3, and these are " + extents_of(info),
           "use --size 32 or another --format");
  if (format == DatasetFormat::cifar10_binary && data.train.size() < 5)
    refuse("cifar10-binary", "needs 5 training pictures or more", "use another --format");
}

std::string cifar_records(const Dataset& dataset, std::int64_t first, std::int64_t last) {
  std::string records(static_cast<std::size_t>((last - first) * formats::kCifarRecordBytes), '\0');
  auto* out = reinterpret_cast<std::uint8_t*>(records.data());
  for (std::int64_t i = first; i < last; ++i, out += formats::kCifarRecordBytes) {
    *out = static_cast<std::uint8_t>(dataset.label(i));
    formats::pixels_to_planes(dataset.image(i).data(), out + 1);
  }
  return records;
}

void write_cifar(const OutputFolder& folder, const DatasetPair& data, Counter& counter) {
  for (const Split split : {Split::train, Split::test}) {
    const Dataset& dataset = split == Split::train ? data.train : data.test;
    const auto names = formats::cifar_file_names(split, ".bin");
    const auto count = static_cast<std::int64_t>(names.size());
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t first = dataset.size() * i / count;
      const std::int64_t last = dataset.size() * (i + 1) / count;
      folder.write(names[static_cast<std::size_t>(i)], cifar_records(dataset, first, last));
      counter.add(last - first);
    }
  }
  folder.write("batches.meta.txt", class_lines(data.train) + "\n");
}

std::string idx_header(std::initializer_list<std::int64_t> extents) {
  std::string header{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (const std::int64_t extent : extents)
    for (int shift = 24; shift >= 0; shift -= 8) header += static_cast<char>(extent >> shift);
  return header;
}

void write_idx(const OutputFolder& folder, const DatasetPair& data, Counter& counter) {
  for (const Split split : {Split::train, Split::test}) {
    const Dataset& dataset = split == Split::train ? data.train : data.test;
    const DatasetInfo& info = dataset.info();
    const std::string stem = split == Split::train ? "train" : "t10k";
    const bool grey = info.channels == 1;
    std::string images = grey
                             ? idx_header({dataset.size(), info.height, info.width})
                             : idx_header({dataset.size(), info.height, info.width, info.channels});
    images.append(reinterpret_cast<const char*>(dataset.images().data()), dataset.images().size());
    folder.write(stem + (grey ? "-images-idx3-ubyte" : "-images-idx4-ubyte"), images);
    std::string labels = idx_header({dataset.size()});
    for (const std::int32_t label : dataset.labels()) labels += static_cast<char>(label);
    folder.write(stem + "-labels-idx1-ubyte", labels);
    counter.add(dataset.size());
  }
  folder.write("classes.txt", class_lines(data.train));
}

// A class may have any name; a folder may not.
void check_folder_names(const Dataset& dataset) {
  for (const std::string& name : dataset.info().class_names)
    if (name.find('/') != std::string::npos || name.front() == '.')
      refuse("folder", "cannot have a folder named after the class \"" + printable(name) + "\"",
             "use another --format");
}

void write_pictures(const OutputFolder& folder, const DatasetPair& data, ThreadPool& pool,
                    Counter& counter) {
  check_folder_names(data.train);
  const std::vector<std::string>& names = data.train.info().class_names;
  folder.write("classes.txt", class_lines(data.train));
  for (const Split split : {Split::train, Split::test}) {
    const Dataset& dataset = split == Split::train ? data.train : data.test;
    const DatasetInfo& info = dataset.info();
    const Path root = split == Split::train ? "train" : "test";
    for (const std::string& name : names) make_directories(folder.path() / root / name);
    constexpr std::int64_t kPiece = 1'000;
    for (std::int64_t first = 0; first < dataset.size(); first += kPiece) {
      const std::int64_t piece = std::min(kPiece, dataset.size() - first);
      parallel_try(pool, piece, [&](std::int64_t at, int) {
        const std::int64_t i = first + at;
        char file[32];
        std::snprintf(file, sizeof file, "%07lld.png", static_cast<long long>(i));
        const Image image{.width = static_cast<int>(info.width),
                          .height = static_cast<int>(info.height),
                          .channels = static_cast<int>(info.channels),
                          .bytes = {dataset.image(i).begin(), dataset.image(i).end()}};
        folder.write(root / names[static_cast<std::size_t>(dataset.label(i))] / file,
                     encode_png(image));
      });
      counter.add(piece);
    }
  }
}

}  // namespace

DatasetFormat parse_dataset_format(std::string_view name) {
  if (name == "cifar10-binary") return DatasetFormat::cifar10_binary;
  if (name == "folder") return DatasetFormat::folder;
  if (name == "idx") return DatasetFormat::idx;
  throw Error(ErrorKind::usage, "format " + printable(name), "is unknown",
              "use cifar10-binary, folder or idx");
}

void write_dataset(const Path& target, DatasetFormat format, const DatasetPair& data,
                   ThreadPool& pool, std::string_view note, const Progress& progress) {
  check(format, data);
  OutputFolder folder(target);
  Counter counter(progress, data.train.size() + data.test.size());
  if (format == DatasetFormat::cifar10_binary) write_cifar(folder, data, counter);
  if (format == DatasetFormat::idx) write_idx(folder, data, counter);
  if (format == DatasetFormat::folder) write_pictures(folder, data, pool, counter);
  if (data.train.info().synthetic)
    folder.write(kSyntheticMarker,
                 note.empty() ? "These pictures are synthetic, not photographs.\n" : note);
  folder.commit();
}

}  // namespace kiln
