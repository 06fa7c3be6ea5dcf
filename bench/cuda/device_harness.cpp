// bench/harness.h for a GPU: the cases of bench/kernels, verified against the oracle and then timed
// by CUDA events. Not yet run on a GPU.
//
//   KILN_TEST_DEVICE=cuda kiln-bench-device --benchmark_out=out.json      77 where there is none
//   KILN_TEST_DEVICE=emu kiln-bench-device       verifies and times nothing
//   KILN_BENCH_TYPE=bf16                         the type of the elements: f32 (default), f16, bf16
//
// Where memory limits an op, it is timed once more with as many pictures as move 512 MiB, so that
// no cache helps. Counters: `copy` is the fraction of the measured copy's bytes a second,
// `roofline` the time max(bytes / copy, flops / peak) over the measured one; peak is that of the
// tensor cores for convolutions and matrix products in 16 bits, else that of f32 multiply-adds.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>

#include "bench/cuda/device_clock.h"
#include "bench/harness.h"
#include "engine/core/error.h"
#include "tests/support/devices.h"

namespace kiln::bench {
namespace {

constexpr double kLargeBytes = 512.0 * 1048576;
// Operations a byte above which a GPU's time is not its memory's; data sheets say 10 to 20 for f32.
constexpr double kComputeBound = 20;
constexpr double kBatchSeconds = 2e-3;

std::optional<DevicePeaks>& shared_peaks() {
  static std::optional<DevicePeaks> peaks;
  return peaks;
}

double bytes_of(const Work& work) { return work.read_bytes + work.write_bytes; }

// As many pictures as move kLargeBytes; `work` is that of `count`.
std::int64_t large_count(std::int64_t count, const Work& work) {
  return static_cast<std::int64_t>(static_cast<double>(count) * kLargeBytes / bytes_of(work)) + 1;
}

void set_counters(benchmark::State& state, const Work& work, bool matrix_product) {
  const DevicePeaks& peaks = *shared_peaks();
  const bool tensor_cores = matrix_product && is_16_bit(element_type());
  const double flops_peak = tensor_cores ? peaks.tensor_cores : peaks.fma;
  using benchmark::Counter;
  constexpr auto kRate = Counter::kIsIterationInvariantRate;
  if (work.flops > 0) state.counters["GFLOP/s"] = Counter(work.flops * 1e-9, kRate);
  state.counters["GB/s"] = Counter(bytes_of(work) * 1e-9, kRate);
  state.counters["MiB"] = bytes_of(work) / 1048576;
  state.counters["copy"] = Counter(bytes_of(work) / peaks.copy, kRate);
  state.counters["roofline"] =
      Counter(std::max(bytes_of(work) / peaks.copy, work.flops / flops_peak), kRate);
}

void time_case(benchmark::State& state, Context& c, const Case& timed, bool matrix_product) {
  device_seconds(c, 3, timed.run);
  const double once = device_seconds(c, 3, timed.run) / 3;
  const int calls = 1 + static_cast<int>(std::min(kBatchSeconds / (once + 1e-9), 1000.0));
  while (state.KeepRunningBatch(calls)) state.SetIterationTime(device_seconds(c, calls, timed.run));
  set_counters(state, timed.work, matrix_product);
}

struct Registered {
  MakeCase make;
  std::int64_t timed, verified;
  bool matrix_product, large;
};

void run_case(benchmark::State& state, const Registered& r) {
  Log log(stderr, LogLevel::quiet);
  ThreadPool pool(1);
  Context context(test::test_device(), pool, log);
  const auto fault_of_small = [&](Work& work) {
    const std::int64_t count = std::min(r.timed, r.verified);
    const Case small = r.make(context, count);
    if (!small.skipped.empty()) return std::string("SKIPPED: " + small.skipped);
    work = small.work;
    small.run();
    return small.fault();
  };
  Work work;
  if (const std::string fault = fault_of_small(work); !fault.empty())
    return state.SkipWithError(fault.c_str());
  std::int64_t count = r.timed;
  if (r.large) {
    if (work.flops > kComputeBound * bytes_of(work))
      return state.SkipWithError("SKIPPED: memory does not limit it");
    count = large_count(std::min(r.timed, r.verified), work);
  }
  if (shared_peaks()->copy == 0)
    return state.SkipWithError("verified, not timed: no clock on this device");
  time_case(state, context, r.make(context, count), r.matrix_product);
}

// Once for each op and shape: the batch in a shape's name does not matter to the large case.
bool first_of_its_kind(const std::string& op, const std::string& name) {
  static std::set<std::string> seen;
  return seen.insert(op + name.substr(0, name.find("/n"))).second;
}

std::string in_giga(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value * 1e-9);
  return text;
}

// Google Benchmark's own exit status knows nothing of faults.
class CountingReporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      const bool fine = !run.error_occurred || run.error_message.starts_with("SKIPPED") ||
                        run.error_message.starts_with("verified");
      fine ? ++fine_ : ++faults_;
    }
    benchmark::ConsoleReporter::ReportRuns(runs);
  }
  int faults() const { return faults_; }
  int fine() const { return fine_; }

 private:
  int fine_ = 0, faults_ = 0;
};

}  // namespace

bool on_device() { return true; }

DType element_type() {
  const char* wanted = std::getenv("KILN_BENCH_TYPE");
  const std::string_view name = wanted == nullptr ? "f32" : wanted;
  for (const DType type : {DType::f32, DType::f16, DType::bf16})
    if (name == name_of(type)) return type;
  throw Error(ErrorKind::usage, "KILN_BENCH_TYPE", "is " + std::string(name),
              "use f32, f16 or bf16");
}

void add_case(const std::string& op, const std::string& name, std::int64_t picture_count,
              const MakeCase& make, std::int64_t verified_count) {
  const bool matrix_product = op.starts_with("conv2d") || op.starts_with("linear");
  const auto enrol = [&](const std::string& suffix, bool large) {
    const Registered r{make, picture_count, verified_count, matrix_product, large};
    const std::string title = op + "/" + name + suffix;
    benchmark::RegisterBenchmark(title.c_str(),
                                 [r](benchmark::State& state) { run_case(state, r); })
        ->Unit(benchmark::kMicrosecond)
        ->UseManualTime();
  };
  enrol("", false);
  if (!matrix_product && op != "loss_scale_update" && first_of_its_kind(op, name))
    enrol("/large", true);
}

int run_benchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (test::test_device().is_host()) {
    std::fprintf(stderr, "kiln-bench-device: KILN_TEST_DEVICE must be cuda or emu\n");
    return 2;
  }
  Log log(stderr, LogLevel::quiet);
  ThreadPool pool(1);
  Context context(test::test_device(), pool, log);
  shared_peaks() = measure_device_peaks(context);
  const DevicePeaks& peaks = *shared_peaks();
  using benchmark::AddCustomContext;
  AddCustomContext("device", context.device().backend->describe(context.device().index));
  AddCustomContext("element_type", std::string(name_of(element_type())));
  AddCustomContext("peak_copy", in_giga(peaks.copy) + " GB/s, read and written");
  AddCustomContext("peak_fma", in_giga(peaks.fma) + " GFLOP/s");
  AddCustomContext("peak_tensor_cores", in_giga(peaks.tensor_cores) + " GFLOP/s");
  CountingReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  std::printf("%d cases, %d of them at fault\n", reporter.fine() + reporter.faults(),
              reporter.faults());
  return reporter.faults() == 0 && reporter.fine() > 0 ? 0 : 1;
}

}  // namespace kiln::bench
