#include "apps/predict/output.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/common/text.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

void put(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Classes by falling probability; equal ones by number.
std::vector<std::size_t> ranking(const std::vector<float>& probabilities) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, [&](std::size_t a, std::size_t b) { return probabilities[a] > probabilities[b]; });
  return order;
}

// The fewest digits that read back as the same float.
std::string shortest(float value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

class TableWriter final : public PredictionWriter {
 public:
  TableWriter(std::vector<std::string> classes, int top_count)
      : classes_(std::move(classes)),
        top_count_(std::min(classes_.size(), static_cast<std::size_t>(top_count))),
        unicode_(terminal_is_utf8()) {
    for (const std::string& name : classes_)
      name_width_ = std::clamp(width_of(name), name_width_, std::size_t{24});
  }

  void write(const Prediction& prediction) override {
    const auto order = ranking(prediction.probabilities);
    std::string text = printable(prediction.file, 4096) + "\n";
    for (std::size_t i = 0; i < top_count_; ++i) {
      const auto p = static_cast<double>(prediction.probabilities[order[i]]);
      text += "  " + left(classes_[order[i]], name_width_) + right(percent_text(p, 1), 9) + "  " +
              bar(p, 30, unicode_) + "\n";
    }
    put(text);
  }

 private:
  std::vector<std::string> classes_;
  std::size_t top_count_;
  std::size_t name_width_ = 5;
  bool unicode_;
};

class JsonWriter final : public PredictionWriter {
 public:
  explicit JsonWriter(std::vector<std::string> classes) : classes_(std::move(classes)) {}

  void write(const Prediction& prediction) override {
    const std::size_t best = ranking(prediction.probabilities).front();
    nlohmann::ordered_json all, entry;
    for (std::size_t k = 0; k < classes_.size(); ++k)
      all[classes_[k]] = as_double(prediction.probabilities[k]);
    entry["file"] = prediction.file;
    entry["class"] = classes_[best];
    entry["probability"] = as_double(prediction.probabilities[best]);
    entry["probabilities"] = std::move(all);
    put((std::exchange(first_, false) ? "[\n" : ",\n") +
        entry.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  void finish() override { put(first_ ? "[]\n" : "\n]\n"); }

 private:
  // The double with the fewest digits that reads back as this float, so that 0.1f prints as 0.1.
  static double as_double(float value) { return std::strtod(shortest(value).c_str(), nullptr); }

  std::vector<std::string> classes_;
  bool first_ = true;
};

class CsvWriter final : public PredictionWriter {
 public:
  explicit CsvWriter(std::vector<std::string> classes) : classes_(std::move(classes)) {
    std::string header = "file,class,probability";
    for (const std::string& name : classes_) header += "," + quoted("p_" + name);
    put(header + "\r\n");
  }

  void write(const Prediction& prediction) override {
    const std::size_t best = ranking(prediction.probabilities).front();
    std::string line = quoted(prediction.file) + "," + quoted(classes_[best]) + "," +
                       shortest(prediction.probabilities[best]);
    for (const float p : prediction.probabilities) line += "," + shortest(p);
    put(line + "\r\n");
  }

 private:
  static std::string quoted(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == text.npos) return text;
    std::string out = "\"";
    for (const char c : text) {
      if (c == '"') out += '"';
      out += c;
    }
    return out + "\"";
  }

  std::vector<std::string> classes_;
};

}  // namespace

std::unique_ptr<PredictionWriter> make_prediction_writer(PredictionFormat format,
                                                         std::vector<std::string> classes,
                                                         int top_count) {
  if (format == PredictionFormat::json) return std::make_unique<JsonWriter>(std::move(classes));
  if (format == PredictionFormat::csv) return std::make_unique<CsvWriter>(std::move(classes));
  return std::make_unique<TableWriter>(std::move(classes), top_count);
}

}  // namespace kiln
