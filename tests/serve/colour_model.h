// A model without a network, for tests of what is around one: output k is the mean of colour k of
// the picture, over 16 and less k/4, so that a red picture is of class 0 and a blue one of class 2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/serve/served_model.h"

namespace kiln::serve::test {

class ColourExecutor final : public Executor {
 public:
  explicit ColourExecutor(const ModelIdentity& model)
      : shape_(model.shape), row_size_(model.classes.size()) {}

  std::int64_t max_batch() const override { return kBatch; }
  std::int64_t output_size() const override { return static_cast<std::int64_t>(row_size_); }
  void load(std::int64_t row, const payload::Pictures& pictures, std::int64_t first,
            std::int64_t count) override {
    const auto size = static_cast<std::size_t>(shape_.size());
    const std::span<const std::uint8_t> bytes = pictures.pixels();  // this one takes pixels only
    for (std::int64_t i = 0; i < count; ++i)
      score(bytes.subspan(static_cast<std::size_t>(first + i) * size, size),
            &results_.at(static_cast<std::size_t>(row + i) * row_size_));
  }
  void run(std::int64_t) override {}
  std::span<const float> outputs(std::int64_t row, std::int64_t count) const override {
    return std::span(results_).subspan(static_cast<std::size_t>(row) * row_size_,
                                       static_cast<std::size_t>(count) * row_size_);
  }

 private:
  static constexpr std::int64_t kBatch = 4;

  void score(std::span<const std::uint8_t> pixels, float* scores) const {
    const auto channels = static_cast<std::size_t>(shape_.channels);
    for (std::size_t k = 0; k < row_size_; ++k) {
      double sum = 0;
      for (std::size_t i = k % channels; i < pixels.size(); i += channels) sum += pixels[i];
      const double mean = sum * static_cast<double>(channels) / static_cast<double>(pixels.size());
      scores[k] = static_cast<float>(mean / 16 - 0.25 * static_cast<double>(k));
    }
  }

  const payload::PictureShape shape_;
  const std::size_t row_size_;
  std::vector<float> results_ = std::vector<float>(kBatch * row_size_);
};

inline ModelTable::Entry make_colour_model(ModelIdentity identity) {
  auto model = std::make_shared<ServedModel>();
  model->identity = std::make_shared<const ModelIdentity>(std::move(identity));
  model->metrics = std::make_shared<BatcherMetrics>(4);
  std::vector<std::unique_ptr<Executor>> executors;
  executors.push_back(std::make_unique<ColourExecutor>(*model->identity));
  model->batcher = std::make_unique<Batcher>(BatcherOptions{}, std::move(executors), nullptr,
                                             *model->metrics, [](std::string_view) {});
  return model;
}

// Names that would do harm where a page takes them for markup, and some that only look odd.
inline std::vector<std::string> hostile_names() {
  return {"<img src=x onerror=\"document.title='broken in'\">",
          "</script><script>document.title='broken in'</script>",
          "\"quoted\" \\ 'and' &lt;b&gt; {{7*7}} ${7*7}",
          "\xe2\x80\xaetxet siht nrut",  // right-to-left override
          std::string(300, 'W'),
          "",
          "line\nbreak\ttab\x01",
          "Gr\u00fc\u00dfe \u6f22\u5b57 \U0001f408",
          "javascript:document.title='broken in'",
          "<svg onload=document.title='broken in'>",
          "</title><b>bold</b>",
          "plain"};
}

}  // namespace kiln::serve::test
