// A series of equal runs with seeds of their own: what each scored and how long it took, the sums
// over all, and the file that keeps what is done.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/file.h"

namespace kiln {

struct RunResult {
  std::uint64_t seed = 0;
  double accuracy = 0.0, loss = 0.0;  // on the test set
  std::int64_t hit_count = 0, image_count = 0;
  double train_loss = 0.0;           // mean over the last epoch
  std::int64_t trained_images = 0;   // of all epochs
  double preparation_seconds = 0.0;  // normalisation constants, whitening
  std::vector<double> epoch_seconds;
  double evaluation_seconds = 0.0;
  double cpu_mhz_before = 0.0, cpu_mhz_after = 0.0;  // mean over the CPUs; 0: not known

  double training_seconds() const;
  double images_per_second() const;  // of training
  double seconds() const;            // by the clock: the sum of the three
};

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

struct Series {
  NamedTexts settings;     // what the runs share, the first seed included
  NamedTexts environment;  // what they are measured on
  std::vector<RunResult> runs;
};

// Mean, standard deviation of one run (n - 1) and standard error of the mean; the latter two are 0
// for a single run.
struct Statistic {
  double mean = 0.0, deviation = 0.0, error = 0.0;
};
Statistic statistic_of(std::span<const double> values);

// A number that every run has, and how people read it.
struct RunNumber {
  const char* key;    // in the file
  const char* label;  // in the table, which shows it times `factor`
  double (*of)(const RunResult&);
  double factor;
  int digits;
  const char* unit;
};
std::span<const RunNumber> run_numbers();
Statistic statistic_of(const Series& series, const RunNumber& number);

// What is inside the clock and what is not, one sentence each.
std::span<const char* const> inside_the_clock();
std::span<const char* const> outside_the_clock();

std::string to_json(const Series& series);
// Throws Error (input) naming the file where it is none of this program's.
Series read_series(const Path& path);
// Throws Error (input) naming the first setting or the part of the environment in which the runs of
// the file are others than those wanted.
void check_same(const Series& found, const Series& wanted, const Path& path);

}  // namespace kiln
