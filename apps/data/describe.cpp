#include "apps/data/describe.h"

#include <algorithm>
#include <cstdio>

#include "engine/data/normalisation.h"
#include "engine/data/verify.h"

namespace kiln {
namespace {

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

std::string right(std::int64_t number, std::size_t width) {
  const std::string text = std::to_string(number);
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

// "0.4914 0.4822 0.4465"
std::string numbers(const std::array<float, 3>& values, std::int64_t count) {
  std::string text;
  for (std::int64_t i = 0; i < count; ++i) {
    char number[32];
    std::snprintf(number, sizeof number, "%s%.4f", i > 0 ? " " : "",
                  static_cast<double>(values[static_cast<std::size_t>(i)]));
    text += number;
  }
  return text;
}

std::string class_table(const DatasetPair& data) {
  constexpr std::size_t kMaxRows = 100;
  const auto train = class_counts(data.train), test = class_counts(data.test);
  const auto& names = data.train.info().class_names;
  std::size_t width = 5;
  for (const std::string& name : names) width = std::max(width, name.size());
  std::string table = "  label  " + padded("class", width) + "  training      test\n";
  for (std::size_t i = 0; i < std::min(kMaxRows, names.size()); ++i)
    table += right(static_cast<std::int64_t>(i), 7) + "  " + padded(names[i], width) +
             right(train[i], 10) + right(i < test.size() ? test[i] : 0, 10) + "\n";
  if (names.size() > kMaxRows)
    table += "  ... and " + std::to_string(names.size() - kMaxRows) + " more\n";
  return table;
}

}  // namespace

std::string describe_dataset(const DatasetPair& data, ThreadPool& pool) {
  const DatasetInfo& info = data.train.info();
  const Normalisation measured = measure_normalisation(data.train, pool);
  std::string text = info.name + "\n";
  const auto row = [&text](const char* name, const std::string& value) {
    text += "  " + padded(name, 12) + value + "\n";
  };
  row("origin", info.origin);
  if (info.synthetic) row("synthetic", "yes: drawn, not photographed");
  row("pictures", std::to_string(data.train.size()) + " training, " +
                      std::to_string(data.test.size()) + " test");
  row("size", std::to_string(info.height) + "x" + std::to_string(info.width) + "x" +
                  std::to_string(info.channels) + " (height, width, channels)");
  row("mean",
      numbers(measured.mean, info.channels) + " per channel of the training pictures, 0..1");
  row("deviation", numbers(measured.std, info.channels));
  row("checksum", dataset_checksum(data.train) + " training (MD5 of labels and pixels)");
  row("", dataset_checksum(data.test) + " test");
  return text + class_table(data);
}

}  // namespace kiln
