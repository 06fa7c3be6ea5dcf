// Predictions as they come, in the form that was asked for.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace kiln {

struct Prediction {
  std::string file;
  std::vector<float> probabilities;  // one per class, summing to 1
};

class PredictionWriter {
 public:
  virtual ~PredictionWriter() = default;
  virtual void write(const Prediction& prediction) = 0;
  // After the last one.
  virtual void finish() {}
};

enum class PredictionFormat { table, json, csv };

// Writes to stdout. `top_count`: classes per picture in the table, the most probable first; JSON
// and CSV have them all. JSON is one array of
//   {"file": ..., "class": ..., "probability": ..., "probabilities": {class: probability, ...}}
// CSV (RFC 4180) has the columns file, class, probability and one p_<class> for each class.
std::unique_ptr<PredictionWriter> make_prediction_writer(PredictionFormat format,
                                                         std::vector<std::string> classes,
                                                         int top_count);

}  // namespace kiln
