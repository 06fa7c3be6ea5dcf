// A network whose weights and pictures come from a golden file.
#pragma once

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "engine/train/network.h"
#include "tests/golden/golden.h"
#include "tests/train/fixture.h"

namespace kiln::test {

inline void set_file_order(const Parameter& parameter, const std::vector<double>& values) {
  visit_float(parameter.value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> typed(values.begin(), values.end());
    to_memory_order(parameter, Tensor(std::span<T>(typed), parameter.shape), parameter.value);
  });
}

inline std::vector<double> in_file_order(const Parameter& parameter, const Tensor& tensor) {
  return visit_float(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> typed(static_cast<std::size_t>(tensor.element_count()));
    to_file_order(parameter, tensor, Tensor(std::span<T>(typed), parameter.shape));
    return std::vector<double>(typed.begin(), typed.end());
  });
}

class GoldenRun {
 public:
  GoldenRun(const std::string& file, const ModelSpec& spec, DType dtype, std::int64_t batch,
            int thread_count, bool fuse, double label_smoothing = 0.0)
      : golden_(file), bench_(thread_count), parameters_(spec, dtype, Device{}) {
    parameters_.initialise(1);
    for (const std::string& name : golden_.parameters())
      set_file_order(parameters_.find(name), golden_.initial(name).values);
    network_ = std::make_unique<Network>(
        spec, parameters_, bench_.context, bench_.providers,
        NetworkOptions{.batch_size = batch, .fuse = fuse, .label_smoothing = label_smoothing});
  }

  // From now on the gradients of these are left out.
  void pause(const std::vector<std::string>& names, const ModelSpec& spec, std::int64_t batch,
             double label_smoothing) {
    network_ = std::make_unique<Network>(
        spec, parameters_, bench_.context, bench_.providers,
        NetworkOptions{.batch_size = batch, .label_smoothing = label_smoothing, .paused = names});
  }

  // Batch `which` of the golden file becomes the input: bytes as (byte/255 - 0.5)/0.5 in double,
  // or "images" as they are.
  void load(std::int64_t which) {
    const bool bytes = golden_.contains("pixels");
    const golden::GoldenArray images = golden_.at(bytes ? "pixels" : "images");
    const golden::GoldenArray labels = golden_.at("labels");
    const Tensor x = network_->input();
    const std::int64_t n = x.shape()[0], h = x.shape()[1], w = x.shape()[2], c = x.shape()[3];
    for (std::int64_t i = 0; i < n * h * w * c; ++i) {
      const std::int64_t channel = i % c, pixel = i / c % (h * w), image = i / (c * h * w);
      const std::int64_t from = ((which * n + image) * c + channel) * h * w + pixel;
      const double raw = images.values.at(static_cast<std::size_t>(from));
      visit_float(x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        x.data<T>()[i] = static_cast<T>(bytes ? (raw / 255.0 - 0.5) / 0.5 : raw);
      });
    }
    for (std::int64_t i = 0; i < n; ++i)
      network_->labels().data<std::int32_t>()[i] =
          static_cast<std::int32_t>(labels.values.at(static_cast<std::size_t>(which * n + i)));
  }

  // The largest relative error of what `tensor_of` picks, over the parameters that `prefix` has.
  template <class TensorOf>
  void expect_close(const std::string& prefix, double bar, const TensorOf& tensor_of) const {
    int compared = 0;
    for (const Parameter& p : parameters_.all()) {
      if (!golden_.contains(prefix + p.name)) continue;
      ++compared;
      EXPECT_LE(golden::relative_error(in_file_order(p, tensor_of(p)),
                                       golden_.at(prefix + p.name).values),
                std::max(bar, is_rounded(prefix, p) ? kRoundedToFloat : 0.0))
          << p.name;
    }
    EXPECT_GT(compared, 0);
  }

  // The one gradient that the golden files keep as float, to save room.
  static constexpr double kRoundedToFloat = 6e-8;
  static bool is_rounded(const std::string& prefix, const Parameter& p) {
    return prefix.starts_with("gradient") && p.name == "fc1.weight";
  }

  golden::GoldenFile golden_;
  Workbench bench_;
  ParameterStore parameters_;
  std::unique_ptr<Network> network_;
};

}  // namespace kiln::test
