// metrics.jsonl: what training measured, one JSON object a line.
//
//   {"epoch":1,"train_loss":1.9,"train_accuracy":0.31,"test_loss":1.7,"test_accuracy":0.39,
//    "images_per_second":10500,"learning_rate":0.001,"seconds":4.8}          once an epoch
//   {"step":100,"loss":2.1}                                                  once a log interval
//
// Accuracies are fractions in [0, 1], losses are in nats, NaN and infinity are written as null.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/file.h"
#include "engine/report/append_file.h"

namespace kiln {

struct EpochMetrics {
  std::int64_t epoch = 0;  // counted from 1
  double train_loss = 0.0;
  double train_accuracy = 0.0;
  double test_loss = 0.0;
  double test_accuracy = 0.0;
  double images_per_second = 0.0;
  double learning_rate = 0.0;  // of the epoch's last step
  double seconds = 0.0;        // wall clock of the epoch's training, evaluation excluded
  // Time that training waited for data. Not written to the file, so NaN when read back.
  double waited_seconds = std::numeric_limits<double>::quiet_NaN();
};

struct StepMetrics {
  std::int64_t step = 0;  // optimizer steps since the start of training, counted from 1
  double loss = 0.0;
};

// Where a checkpoint was taken: everything recorded later is measured again.
struct ResumePoint {
  std::int64_t epoch = 0;  // the last epoch that was finished; 0 for none
  std::int64_t step = 0;   // the last step that was taken; 0 for none
};

// Appends to the file; every line goes to the system whole, in one write. Not thread-safe.
class MetricsWriter {
 public:
  // Without `resume` the file starts empty. With it, the file is cut behind the last record that
  // the checkpoint had seen, so that a resumed run ends with the file of an uninterrupted one; a
  // torn or unreadable line is cut off with everything behind it. Throws Error (io).
  explicit MetricsWriter(const Path& path, const std::optional<ResumePoint>& resume = {});

  // Throw Error (io) when the disk is full; the file then ends with a whole line.
  void write(const EpochMetrics& metrics);
  void write(const StepMetrics& metrics);

  // Bytes that resuming cut off, and how many of them follow a line that is torn or no record
  // rather than one that the checkpoint had not seen: worth a warning.
  std::uint64_t dropped_bytes() const { return dropped_bytes_; }
  std::uint64_t unreadable_bytes() const { return unreadable_bytes_; }

 private:
  std::uint64_t dropped_bytes_ = 0;
  std::uint64_t unreadable_bytes_ = 0;
  AppendFile file_;
};

struct MetricsLog {
  std::vector<EpochMetrics> epochs;
  std::vector<StepMetrics> steps;
};

// Reads the file back; null becomes NaN. A last line without its end (a run that is still writing,
// or was killed) is ignored. Throws Error (io, or input naming the line) for anything else.
MetricsLog read_metrics(const Path& path);

// The line of a record, its end included.
std::string to_json_line(const EpochMetrics& metrics);
std::string to_json_line(const StepMetrics& metrics);

}  // namespace kiln
