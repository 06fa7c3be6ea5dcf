// Reader of the golden files of this folder (README.md): PyTorch's values as doubles.
//
//   const GoldenFile file("ops");
//   const GoldenArray dweight = to_channels_last(file.at("conv2d.stride_2/dweight"));
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/core/shape.h"
#include "models/safetensors.h"

namespace kiln::golden {

struct GoldenArray {
  Shape shape;
  std::vector<double> values;  // row-major
};

// One entry of index.json. A configuration value becomes a list of numbers: 2 -> {2},
// [2, 1] -> {2, 1}, true -> {1}; texts are kept apart.
struct GoldenCase {
  std::string name;
  std::map<std::string, std::vector<double>, std::less<>> numbers;
  std::map<std::string, std::string, std::less<>> texts;
};

class GoldenFile {
 public:
  // `name` without ".safetensors". Throws Error when the file cannot be read.
  explicit GoldenFile(const std::string& name);

  bool contains(const std::string& tensor) const { return file_.find(tensor) != nullptr; }
  std::vector<std::string> names() const;
  // Any stored type as double, exactly but for int64 beyond 2^53. Throws Error for unknown names.
  GoldenArray at(const std::string& tensor) const;
  // offset + (code - 128) * scale of a network's parameter; exact in float and double.
  GoldenArray initial(const std::string& parameter) const;
  // Names of the parameters that initial() knows, sorted.
  std::vector<std::string> parameters() const;
  const std::vector<GoldenCase>& cases() const& { return cases_; }
  const std::vector<GoldenCase>& cases() const&& = delete;  // it would dangle

 private:
  std::string name_;
  SafetensorsFile file_;
  std::vector<GoldenCase> cases_;
};

// [N, C, H, W] -> [N, H, W, C] and [K, C, R, S] -> [K, R, S, C]; other ranks stay as they are.
GoldenArray to_channels_last(const GoldenArray& array);

// Largest difference over the largest magnitude of `truth`; infinite for NaN or unequal sizes.
double relative_error(const std::vector<double>& value, const std::vector<double>& truth);

}  // namespace kiln::golden
