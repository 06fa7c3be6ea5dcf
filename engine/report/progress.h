// What a person sees while training runs: a line that redraws itself on a terminal, plain lines
// everywhere else.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

#include "engine/report/metrics.h"

namespace kiln {

struct ProgressOptions {
  bool redraw = false;   // a terminal that understands \r and escape sequences
  bool colour = false;   // only with redraw
  bool unicode = false;  // block characters in the bar; else # and .
  int column_count = 0;  // width of the terminal; 0: asked of the terminal at every redraw
  std::int64_t log_interval = 100;   // batches between plain lines; 0: one line an epoch
  std::function<double()> now = {};  // seconds, monotonic; empty: the steady clock
};

// The options that fit `stream` and the environment: isatty, TERM, NO_COLOR, COLUMNS, and the
// locale's character set.
ProgressOptions detect_progress_options(std::FILE* stream);

// Not thread-safe. Nothing is allocated between begin_epoch and end_epoch.
class Progress {
 public:
  // `stream` must outlive the object.
  Progress(std::FILE* stream, ProgressOptions options);
  // Ends an unfinished line, so that the shell's prompt starts on a fresh one.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `epoch` counts from 1 to `epoch_count`.
  void begin_epoch(std::int64_t epoch, std::int64_t epoch_count, std::int64_t batch_count);
  // After batch `batch_index` (from 0): running loss and accuracy (a fraction) of the epoch.
  void step(std::int64_t batch_index, double loss, double accuracy, double images_per_second);
  // The epoch's summary: a line that stays.
  void end_epoch(const EpochMetrics& metrics);
  // A line of text that stays, above the progress line.
  void line(std::string_view text);

  // Whether step() would write something now; lets a caller skip computing a running loss.
  bool wants_step(std::int64_t batch_index) const;

 private:
  struct State {
    std::int64_t epoch = 0, epoch_count = 0, batch_count = 0;
    std::int64_t first_batch = -1;  // of this epoch's steps: above 0 after a resume inside it
    std::int64_t done_count = 0;    // batches of the epoch that are behind us
    double loss = 0.0, accuracy = 0.0, images_per_second = 0.0;
    double epoch_start = 0.0, last_draw = 0.0;
    double last_epoch_seconds = 0.0;  // 0 before the first epoch has ended
    bool drawn = false;               // the cursor stands behind a progress line
  };

  double now() const { return options_.now(); }
  double seconds_left() const;
  int columns() const;
  void draw();
  void append_fields();
  void append_bar(int cell_count);
  void print_plain_step();
  void write_buffer();

  std::FILE* stream_;
  ProgressOptions options_;
  State state_;
  std::string buffer_;  // reserved once
};

}  // namespace kiln
