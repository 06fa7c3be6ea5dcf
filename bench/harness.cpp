#include "bench/harness.h"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>

#include "bench/peaks_simd.h"
#include "engine/core/buffer.h"
#include "engine/core/cpu_model.h"

namespace kiln::bench {
namespace {

constexpr std::int64_t kMemoryFloats = std::int64_t{32} << 20;  // 128 MiB, beyond any cache here

// Best of thirty short runs, as the machine may be shared: some fall between two time slices.
template <class F>
double best_seconds(const F& work) {
  double best = 1e9;
  for (int i = 0; i < 30; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::min(best, seconds.count());
  }
  return best;
}

using MultiplyAdds = void (*)(std::int64_t, float*);

double measured_flops(ThreadPool& pool, MultiplyAdds multiply_adds, int lanes) {
  constexpr std::int64_t kRounds = 100'000;
  const int threads = pool.thread_count();
  std::vector<float> sinks(static_cast<std::size_t>(threads) * 16);
  const double seconds = best_seconds([&] {
    pool.parallel_for(threads, [&](std::int64_t t) {
      multiply_adds(kRounds, &sinks[static_cast<std::size_t>(t) * 16]);
    });
  });
  return 2.0 * static_cast<double>(kRounds * lanes * threads) / seconds;
}

// Every run takes the next block of the buffer: a block comes back after 120 MiB of others, so it
// is in no cache, and is short enough to fit into a time slice.
Peaks::Memory measured_memory(ThreadPool& pool, float* data) {
  constexpr std::int64_t kBlock = std::int64_t{2} << 20;  // 8 MiB
  const int threads = pool.thread_count();
  const std::int64_t share = kBlock / threads;
  std::vector<float> sinks(static_cast<std::size_t>(threads) * 16);
  std::int64_t next = 0;
  const auto rate = [&](const auto& work) {
    const double seconds = best_seconds([&] {
      float* block = data + next++ * kBlock % kMemoryFloats;
      pool.parallel_for(threads, [&](std::int64_t t) { work(block + t * share, t); });
    });
    return static_cast<double>(share * threads) * sizeof(float) / seconds;
  };
  const double write =
      rate([&](float* to, std::int64_t) { KILN_CALL_ISA(write_memory(to, share)); });
  const double read = rate([&](const float* from, std::int64_t t) {
    KILN_CALL_ISA(read_memory(from, share, &sinks[static_cast<std::size_t>(t) * 16]));
  });
  return {read, write};
}

Peaks::Compute measured_compute(cpu::Isa isa, MultiplyAdds multiply_adds, int lanes,
                                ThreadPool& one, ThreadPool& all) {
  return {isa, measured_flops(one, multiply_adds, lanes),
          measured_flops(all, multiply_adds, lanes)};
}

// The commit of the source tree, "-dirty" with changes; "unknown" outside a repository.
std::string commit() {
  const std::string command =
      "git -C '" KILN_BENCH_SOURCE_DIR "' describe --always --dirty --abbrev=12 2>/dev/null";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"),
                                                             ::pclose);
  char text[64] = "";
  if (!pipe || std::fgets(text, sizeof text, pipe.get()) == nullptr) return "unknown";
  std::string name(text);
  name.erase(name.find_last_not_of('\n') + 1);
  return name;
}

// The peaks, measured by run_benchmarks before the first case runs.
std::optional<Peaks>& shared_peaks() {
  static std::optional<Peaks> peaks;
  return peaks;
}

void set_counters(benchmark::State& state, const Work& work, int threads) {
  const Peaks& peaks = *shared_peaks();
  const Peaks::Memory& memory = peaks.memory(threads);
  const double roofline_seconds =
      std::max(work.flops / peaks.flops_per_second(threads),
               work.read_bytes / memory.read + work.write_bytes / memory.write);
  using benchmark::Counter;
  constexpr auto kRate = Counter::kIsIterationInvariantRate;
  if (work.flops > 0) state.counters["GFLOP/s"] = Counter(work.flops * 1e-9, kRate);
  state.counters["GB/s"] = Counter((work.read_bytes + work.write_bytes) * 1e-9, kRate);
  state.counters["roofline"] = Counter(roofline_seconds, kRate);
}

struct Counts {
  std::int64_t timed, verified;
};

void run_case(benchmark::State& state, const MakeCase& make, Counts counts, int threads) {
  Log log(stderr, LogLevel::quiet);
  ThreadPool pool(threads);
  Context context(Device{}, pool, log);
  {
    const Case small = make(context, std::min(counts.timed, counts.verified));
    small.run();
    if (const std::string fault = small.fault(); !fault.empty()) {
      state.SkipWithError(fault.c_str());
      return;
    }
  }
  const Case timed = make(context, counts.timed);
  timed.run();
  for (auto _ : state) timed.run();
  set_counters(state, timed.work, threads);
}

std::string in_giga(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value * 1e-9);
  return text;
}

void describe_machine(const Peaks& peaks) {
  using benchmark::AddCustomContext;
  AddCustomContext("cpu", cpu_model());
  AddCustomContext("isa", std::string(cpu::name_of(cpu::isa())));
  AddCustomContext("threads", std::to_string(peaks.thread_count));
  AddCustomContext("commit", commit());
  for (const Peaks::Compute& level : peaks.compute)
    AddCustomContext("peak_" + std::string(cpu::name_of(level.isa)),
                     in_giga(level.one_thread) + " GFLOP/s on one thread, " +
                         in_giga(level.all_threads) + " on all");
  const auto memory = [](const Peaks::Memory& m) {
    return in_giga(m.read) + " GB/s read, " + in_giga(m.write) + " GB/s written";
  };
  AddCustomContext("memory_one_thread", memory(peaks.one_thread));
  AddCustomContext("memory_all_threads", memory(peaks.all_threads));
}

}  // namespace

bool on_device() { return false; }
DType element_type() { return DType::f32; }

double Peaks::flops_per_second(int threads) const {
  const Compute& best = compute.back();
  return threads == 1 ? best.one_thread : best.all_threads;
}

const Peaks::Memory& Peaks::memory(int threads) const {
  return threads == 1 ? one_thread : all_threads;
}

Peaks measure_peaks(int thread_count) {
  ThreadPool one(1), all(thread_count);
  Peaks peaks;
  peaks.thread_count = thread_count;
  const cpu::Isa best = cpu::isa();
  peaks.compute.push_back(measured_compute(cpu::Isa::baseline, cpu::baseline::multiply_adds,
                                           cpu::baseline::multiply_add_lanes(), one, all));
#if defined(__x86_64__)
  if (best >= cpu::Isa::avx2)
    peaks.compute.push_back(measured_compute(cpu::Isa::avx2, cpu::avx2::multiply_adds,
                                             cpu::avx2::multiply_add_lanes(), one, all));
  if (best >= cpu::Isa::avx512)
    peaks.compute.push_back(measured_compute(cpu::Isa::avx512, cpu::avx512::multiply_adds,
                                             cpu::avx512::multiply_add_lanes(), one, all));
#endif
  const Buffer buffer(Device{}, static_cast<std::size_t>(kMemoryFloats) * sizeof(float));
  auto* data = reinterpret_cast<float*>(buffer.data());
  peaks.one_thread = measured_memory(one, data);
  peaks.all_threads = measured_memory(all, data);
  return peaks;
}

void add_case(const std::string& op, const std::string& name, std::int64_t picture_count,
              const MakeCase& make, std::int64_t verified_count) {
  const int all = ThreadPool::available_cpu_count();
  std::vector<int> thread_counts{1};
  if (all > 1) thread_counts.push_back(all);
  for (const int threads : thread_counts) {
    auto* const registered = benchmark::RegisterBenchmark(
        (op + "/" + name + "/threads:" + std::to_string(threads)).c_str(),
        [make, picture_count, verified_count, threads](benchmark::State& state) {
          run_case(state, make, {picture_count, verified_count}, threads);
        });
    registered->Unit(benchmark::kMicrosecond);
    // One thread is timed by its CPU time, which other programs on the machine disturb least.
    if (threads > 1) registered->UseRealTime();
  }
}

int run_benchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  shared_peaks() = measure_peaks(ThreadPool::available_cpu_count());
  describe_machine(*shared_peaks());
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace kiln::bench
