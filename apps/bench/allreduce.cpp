#include "apps/bench/allreduce.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace kiln {
namespace {

using Clock = std::chrono::steady_clock;

// Small whole numbers: their sums are exact in f32 in any order.
float value_of(int rank, std::size_t i) {
  return static_cast<float>((i + 7 * static_cast<std::size_t>(rank)) % 61);
}

void fill(std::span<float> x, int rank) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = value_of(rank, i);
}

std::int64_t count_wrong(std::span<const float> x, int ranks) {
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    float sum = 0;
    for (int r = 0; r < ranks; ++r) sum += value_of(r, i);
    wrong += x[i] == sum ? 0 : 1;
  }
  return wrong;
}

void reduce(Communicator& c, std::span<float> x, bool asynchronous) {
  if (asynchronous)
    c.start_all_reduce(x).wait();
  else
    c.all_reduce(x);
}

// Seconds of each repeat on this rank; all ranks begin a repeat together.
std::vector<double> time_repeats(Communicator& c, std::span<float> x, std::int64_t repeats,
                                 bool asynchronous) {
  std::vector<double> seconds;
  for (std::int64_t i = 0; i < repeats; ++i) {
    c.barrier();
    const auto begin = Clock::now();
    reduce(c, x, asynchronous);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return seconds;
}

// Of each repeat the rank that took longest; then the median.
double median_of_slowest(Communicator& c, const std::vector<double>& seconds) {
  std::vector<double> all(seconds.size() * static_cast<std::size_t>(c.size()));
  c.all_gather<double>(seconds, all);
  std::vector<double> slowest(seconds.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    double& s = slowest[i % seconds.size()];
    s = std::max(s, all[i]);
  }
  std::ranges::nth_element(slowest,
                           slowest.begin() + static_cast<std::ptrdiff_t>(slowest.size() / 2));
  return slowest[slowest.size() / 2];
}

AllreduceResult measure(Communicator& c, std::int64_t bytes, const AllreduceOptions& options) {
  AllreduceResult result{.bytes = bytes / 4 * 4, .elements = bytes / 4};
  std::vector<float> x(static_cast<std::size_t>(result.elements));
  fill(x, c.rank());
  reduce(c, x, options.asynchronous);
  std::int64_t wrong[] = {count_wrong(x, c.size())};
  c.all_reduce<std::int64_t>(wrong);
  result.wrong = wrong[0];
  std::ranges::fill(x, 0.0f);
  double estimate[] = {median_of_slowest(c, time_repeats(c, x, 3, options.asynchronous))};
  c.broadcast<double>(estimate);
  result.repeats =
      std::clamp(static_cast<std::int64_t>(options.seconds / std::max(estimate[0], 1e-7)),
                 std::int64_t{5}, std::int64_t{2000});
  const double seconds =
      median_of_slowest(c, time_repeats(c, x, result.repeats, options.asynchronous));
  const int n = c.size();
  result.microseconds = seconds * 1e6;
  result.algorithm_bandwidth = static_cast<double>(result.bytes) / seconds / 1e9;
  result.bus_bandwidth = result.algorithm_bandwidth * 2 * (n - 1) / n;
  return result;
}

}  // namespace

std::vector<AllreduceResult> measure_allreduce(Communicator& communicator,
                                               const AllreduceOptions& options) {
  std::vector<AllreduceResult> results;
  for (std::int64_t bytes = options.least_bytes; bytes <= options.most_bytes;
       bytes *= options.factor)
    results.push_back(measure(communicator, bytes, options));
  return results;
}

// The places and names of nccl-tests' reports, so that what reads those reads this; "repeats" and
// what tells of the ranks are ours. Every sum is in place.
std::string to_json(const std::vector<AllreduceResult>& results, const Communicator& communicator) {
  nlohmann::ordered_json json = {{"collective", "all_reduce"},
                                 {"communicator", communicator.description()},
                                 {"ranks", communicator.size()},
                                 {"results", nlohmann::ordered_json::array()}};
  std::int64_t wrong = 0;
  double bandwidths = 0;
  for (const AllreduceResult& r : results) {
    wrong += r.wrong;
    bandwidths += r.bus_bandwidth;
    json["results"].push_back({{"size", r.bytes},
                               {"count", r.elements},
                               {"type", "float"},
                               {"redop", "sum"},
                               {"root", "-1"},
                               {"out_of_place", nullptr},
                               {"in_place",
                                {{"time", r.microseconds},
                                 {"alg_bw", r.algorithm_bandwidth},
                                 {"bus_bw", r.bus_bandwidth},
                                 {"nwrong", r.wrong}}},
                               {"repeats", r.repeats}});
  }
  json["out_of_bounds"] = {{"count", wrong}, {"okay", wrong == 0 ? "true" : "false"}};
  json["average_bus_bandwidth"] = {
      {"bandwidth", bandwidths / static_cast<double>(std::max<std::size_t>(results.size(), 1))},
      {"okay", "unchecked"}};
  return json.dump(2) + "\n";
}

std::string to_table(const std::vector<AllreduceResult>& results,
                     const Communicator& communicator) {
  std::string text = "all_reduce, float, sum: " + communicator.description() + "\n" +
                     "        size        count    time     algbw     busbw   #wrong\n" +
                     "         (B)   (elements)    (us)    (GB/s)    (GB/s)\n";
  for (const AllreduceResult& r : results) {
    char line[128];
    std::snprintf(line, sizeof line, "%12lld %12lld %9.1f %8.2f %9.2f %8lld\n",
                  static_cast<long long>(r.bytes), static_cast<long long>(r.elements),
                  r.microseconds, r.algorithm_bandwidth, r.bus_bandwidth,
                  static_cast<long long>(r.wrong));
    text += line;
  }
  return text;
}

}  // namespace kiln
