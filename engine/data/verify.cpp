#include "engine/data/verify.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string_view>

#include "engine/data/formats/cifar_binary.h"
#include "engine/data/formats/common.h"
#include "engine/data/formats/idx.h"
#include "engine/data/formats/recognise.h"
#include "engine/data/md5.h"

namespace kiln {
namespace {

using formats::Format;
using formats::is_file;
using formats::Recognised;

struct Published {
  std::string_view name;
  std::string_view md5;
};

// https://www.cs.toronto.edu/~kriz/cifar.html and, for single files, torchvision's lists.
constexpr std::array<Published, 13> kPublished = {{
    {"cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"},
    {"cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"},
    {"data_batch_1", "c99cafc152244af753f735de768cd75f"},
    {"data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"},
    {"data_batch_3", "54ebc095f3ab1f0389bbae665268c751"},
    {"data_batch_4", "634d18415352ddfa80567beed471001a"},
    {"data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"},
    {"test_batch", "40351d587109b95175f43aff81a1287e"},
    {"batches.meta", "5ff9c542aee3614f3951f8cda6e48888"},
    {"train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"},
    {"train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"},
    {"t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"},
    {"t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"},
}};

// The few large files of a data set; none for folders of pictures.
std::vector<Path> large_files(const Recognised& found) {
  std::vector<Path> files;
  if (found.format == Format::archive) files.push_back(found.place);
  for (const Split split : {Split::train, Split::test}) {
    if (found.format == Format::cifar_binary || found.format == Format::cifar_python)
      for (const std::string& name :
           formats::cifar_file_names(split, found.format == Format::cifar_binary ? ".bin" : ""))
        files.push_back(found.place_of(split) / name);
    if (found.format != Format::idx) continue;
    if (const auto idx = formats::find_idx(found.place, split)) {
      files.push_back(idx->images);
      files.push_back(idx->labels);
    }
  }
  return files;
}

void check_files(const std::vector<Path>& files, std::vector<std::string>& lines) {
  std::map<std::string, Path> seen;
  std::size_t matching = 0, published = 0;
  for (const Path& file : files) {
    if (!is_file(file)) formats::refuse(file, "is missing");
    const std::string md5 = md5_of_file(file);
    const auto [other, is_new] = seen.emplace(md5, file);
    if (!is_new)
      formats::refuse(file, "is a copy of " + other->second.filename().string(),
                      "get the data set again");
    for (const Published& known : kPublished)
      if (file.filename() == known.name) {
        ++published;
        matching += md5 == known.md5 ? 1 : 0;
        if (md5 != known.md5)
          lines.push_back(printable(file.filename().string()) + " is not the published file: MD5 " +
                          md5 + ", published " + std::string(known.md5));
      }
  }
  if (published > 0 && matching == published)
    lines.push_back("the MD5 sums of all " + std::to_string(matching) +
                    " files match the published ones");
}

// Pictures that are equal to an earlier one of the data set, by the MD5 of their bytes.
std::int64_t equal_picture_count(const DatasetPair& data, ThreadPool& pool) {
  std::vector<std::string> sums(static_cast<std::size_t>(data.train.size() + data.test.size()));
  pool.parallel_for(static_cast<std::int64_t>(sums.size()), [&](std::int64_t i) {
    Md5 md5;
    md5.update(i < data.train.size() ? data.train.image(i)
                                     : data.test.image(i - data.train.size()));
    sums[static_cast<std::size_t>(i)] = md5.finish();
  });
  std::sort(sums.begin(), sums.end());
  return sums.end() - std::unique(sums.begin(), sums.end());
}

void note_empty_classes(const Dataset& dataset, Split split, std::vector<std::string>& lines) {
  const auto counts = class_counts(dataset);
  for (std::size_t c = 0; c < counts.size(); ++c)
    if (counts[c] == 0)
      lines.push_back("class \"" + dataset.info().class_names[c] + "\" has no " +
                      std::string(name_of(split)) + " pictures");
}

}  // namespace

std::vector<std::string> verify_dataset(const Path& path, Log& log, ThreadPool& pool) {
  std::vector<std::string> lines;
  const Recognised found = formats::recognise(path);
  check_files(large_files(found), lines);
  const DatasetPair data = load_dataset_pair(path, log, pool);
  note_empty_classes(data.train, Split::train, lines);
  note_empty_classes(data.test, Split::test, lines);
  if (const std::int64_t equal = equal_picture_count(data, pool); equal > 0)
    lines.push_back(std::to_string(equal) + " pictures are equal to an earlier one");
  return lines;
}

std::string dataset_checksum(const Dataset& dataset) {
  Md5 md5;
  for (const std::int32_t label : dataset.labels()) {
    const auto u = static_cast<std::uint32_t>(label);
    const std::uint8_t bytes[4] = {static_cast<std::uint8_t>(u), static_cast<std::uint8_t>(u >> 8),
                                   static_cast<std::uint8_t>(u >> 16),
                                   static_cast<std::uint8_t>(u >> 24)};
    md5.update(bytes);
  }
  md5.update(dataset.images());
  return md5.finish();
}

std::vector<std::int64_t> class_counts(const Dataset& dataset) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(dataset.class_count()));
  for (const std::int32_t label : dataset.labels()) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

Image contact_sheet(const Dataset& dataset, int per_class) {
  const DatasetInfo& info = dataset.info();
  const auto rows = static_cast<int>(std::min<std::int64_t>(64, dataset.class_count()));
  const int step_x = static_cast<int>(info.width) + 1, step_y = static_cast<int>(info.height) + 1;
  Image sheet{.width = per_class * step_x + 1,
              .height = rows * step_y + 1,
              .channels = static_cast<int>(info.channels)};
  const auto row_bytes = static_cast<std::size_t>(sheet.width * sheet.channels);
  sheet.bytes.assign(row_bytes * static_cast<std::size_t>(sheet.height), 128);
  std::vector<int> placed(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const std::int32_t label = dataset.label(i);
    if (label >= rows || placed[static_cast<std::size_t>(label)] == per_class) continue;
    const int column = placed[static_cast<std::size_t>(label)]++;
    const auto image_row = static_cast<std::size_t>(info.width * info.channels);
    std::uint8_t* out = sheet.bytes.data() +
                        static_cast<std::size_t>(label * step_y + 1) * row_bytes +
                        static_cast<std::size_t>((column * step_x + 1) * sheet.channels);
    const std::uint8_t* in = dataset.image(i).data();
    for (std::int64_t y = 0; y < info.height; ++y, out += row_bytes, in += image_row)
      std::memcpy(out, in, image_row);
  }
  return sheet;
}

}  // namespace kiln
