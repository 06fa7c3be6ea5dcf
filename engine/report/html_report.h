// report.html: one self-contained page about one training run. Nothing is fetched, no script runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/file.h"
#include "engine/report/metrics.h"
#include "engine/report/png.h"

namespace kiln {

struct KeyValue {
  std::string key;
  std::string value;
};

// One test picture and what the model said. Whether it was right follows from the two.
struct ReportSample {
  Picture picture;
  int true_class = 0;                // index into class_names
  std::vector<float> probabilities;  // one per class
  std::string name;                  // file name or index; may be empty
};

// Everything that the page shows, as plain values. What is empty is left out of the page.
struct ReportData {
  std::string model_name;
  std::string data_name;
  bool synthetic = false;      // a stand-in data set: said in a banner above everything else
  std::string synthetic_note;  // replaces the banner's own words

  std::vector<EpochMetrics> epochs;
  std::vector<StepMetrics> steps;
  std::vector<std::int64_t> resumed_after_epochs;  // epochs behind which training was resumed

  std::vector<std::string> class_names;
  std::vector<std::int64_t> confusion;  // [true class, predicted class], row-major
  std::vector<ReportSample> samples;    // split into right and wrong by the page
  int samples_per_grid = 20;            // at most this many pictures in each of the two grids

  std::int64_t parameter_count = 0;
  double total_seconds = 0.0;
  std::string device;
  int thread_count = 0;

  std::vector<KeyValue> configuration;  // resolved, in the order in which it is shown
  std::vector<KeyValue> environment;    // CPU, compiler, version, algorithms, ...
  std::vector<std::string> notes;
  Picture filters;  // first-layer filters; empty: left out
};

// The page. Throws std::logic_error when the counts in `data` do not fit each other.
std::string html_report(const ReportData& data);
// Writes it atomically. Throws Error (io).
void write_html_report(const Path& path, const ReportData& data);

}  // namespace kiln
