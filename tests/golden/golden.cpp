#include "tests/golden/golden.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "engine/core/error.h"
#include "engine/core/file.h"

namespace kiln::golden {
namespace {

constexpr std::string_view kCodes = "initial_codes/";
constexpr std::uint64_t kIndexLimitBytes = 1 << 20;

Path folder() {
  const char* source = std::getenv("KILN_SOURCE_DIR");  // set by CTest
  return Path(source != nullptr ? source : KILN_GOLDEN_SOURCE_DIR) / "tests" / "golden";
}

template <class T>
std::vector<double> widen(std::span<const std::byte> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  std::vector<double> wide(values.size());
  std::transform(values.begin(), values.end(), wide.begin(),
                 [](T value) { return static_cast<double>(value); });
  return wide;
}

std::vector<double> widen(const SafetensorsEntry& entry) {
  switch (entry.dtype) {
    case DType::f32:
      return widen<float>(entry.bytes);
    case DType::f64:
      return widen<double>(entry.bytes);
    case DType::i64:
      return widen<std::int64_t>(entry.bytes);
    case DType::u8:
      return widen<std::uint8_t>(entry.bytes);
    default:
      throw Error(ErrorKind::input, entry.name, "has a type that golden files do not use");
  }
}

double number_of(const nlohmann::json& value) {
  return value.is_boolean() ? static_cast<double>(value.get<bool>()) : value.get<double>();
}

GoldenCase read_case(const nlohmann::json& entry) {
  GoldenCase result{.name = entry.at("name").get<std::string>(), .numbers = {}, .texts = {}};
  for (const auto& [key, value] : entry.at("config").items()) {
    if (value.is_string()) {
      result.texts[key] = value.get<std::string>();
    } else if (value.is_array()) {
      for (const auto& element : value) result.numbers[key].push_back(number_of(element));
    } else {
      result.numbers[key] = {number_of(value)};
    }
  }
  return result;
}

}  // namespace

GoldenFile::GoldenFile(const std::string& name)
    : name_(name), file_(folder() / (name + ".safetensors")) {
  const auto index =
      nlohmann::json::parse(read_text_file(folder() / "index.json", kIndexLimitBytes));
  for (const auto& entry : index.at("files").at(name + ".safetensors"))
    cases_.push_back(read_case(entry));
}

std::vector<std::string> GoldenFile::names() const {
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : file_.entries()) names.push_back(entry.name);
  return names;
}

GoldenArray GoldenFile::at(const std::string& tensor) const {
  const SafetensorsEntry* entry = file_.find(tensor);
  if (entry == nullptr)
    throw Error(ErrorKind::input, name_ + ".safetensors", "has no tensor '" + tensor + "'");
  return {.shape = entry->shape, .values = widen(*entry)};
}

GoldenArray GoldenFile::initial(const std::string& parameter) const {
  GoldenArray array = at(std::string(kCodes) + parameter);
  const std::vector<double> line = at("initial_offset_scale/" + parameter).values;
  for (double& value : array.values) value = line.at(0) + (value - 128.0) * line.at(1);
  return array;
}

std::vector<std::string> GoldenFile::parameters() const {
  std::vector<std::string> found;
  for (const std::string& name : names())
    if (name.starts_with(kCodes)) found.push_back(name.substr(kCodes.size()));
  return found;
}

GoldenArray to_channels_last(const GoldenArray& array) {
  if (array.shape.rank() != 4) return array;
  const auto extent = [&](int axis) { return static_cast<std::size_t>(array.shape[axis]); };
  const std::size_t channels = extent(1);
  const std::size_t pixels = extent(2) * extent(3);
  GoldenArray result{.shape = {array.shape[0], array.shape[2], array.shape[3], array.shape[1]},
                     .values = std::vector<double>(array.values.size())};
  for (std::size_t n = 0; n < extent(0); ++n)
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t p = 0; p < pixels; ++p)
        result.values[(n * pixels + p) * channels + c] =
            array.values[(n * channels + c) * pixels + p];
  return result;
}

double relative_error(const std::vector<double>& value, const std::vector<double>& truth) {
  if (value.size() != truth.size()) return std::numeric_limits<double>::infinity();
  double scale = 0.0;
  double worst = 0.0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double difference = std::abs(value[i] - truth[i]);
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, difference);
    scale = std::max(scale, std::abs(truth[i]));
  }
  return scale > 0.0 ? worst / scale : worst;
}

}  // namespace kiln::golden
