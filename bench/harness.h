// What all benchmarks share: the machine's peaks, verification before timing, and the counters.
// harness.cpp times the cases on the CPU; cuda/device_harness.cpp times the same cases on a GPU.
//
// A case says how much work one call is: floating-point operations, and bytes that must be read and
// written at least. Its roofline time is
//
//   max(flops / peak FLOP/s, read_bytes / peak read B/s + write_bytes / peak write B/s)
//
// with peaks of the same thread count, measured when the program starts. The counter `roofline` is
// this time over the measured one; problems that fit into a cache can pass 1.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/dtype.h"
#include "kernels/cpu/isa.h"

namespace kiln::bench {

struct Peaks {
  struct Compute {
    cpu::Isa isa;
    double one_thread, all_threads;  // FLOP/s of fused multiply-adds (two each) in float
  };
  struct Memory {
    double read, write;  // B/s from and to memory; write counts stored bytes only
  };
  int thread_count = 1;
  std::vector<Compute> compute;  // per instruction set up to the one in use
  Memory one_thread{}, all_threads{};

  double flops_per_second(int threads) const;
  const Memory& memory(int threads) const;
};

// About a second of measuring.
Peaks measure_peaks(int thread_count);

struct Work {
  double flops = 0;
  double read_bytes = 0, write_bytes = 0;
};

// One benchmark's tensors and calls. They live in what the functions capture.
struct Case {
  Work work;
  std::function<void()> run;
  // After run(): empty, or what is wrong with the result.
  std::function<std::string()> fault;
  std::string skipped = {};  // why it cannot run here
};

// Makes the case for `picture_count` pictures (or rows).
using MakeCase = std::function<Case(Context&, std::int64_t picture_count)>;

// What the cases run on: the CPU, or the device of the program. Elements have this type there;
// where it has 16 bits, statistics and an optimizer's weights and state stay in f32.
bool on_device();
DType element_type();

// Registers `op/name/threads:T` for one thread and for all (on a device `op/name/TYPE` and, where
// memory limits it, `op/name/TYPE/large`). Before timing, the case is made with at
// most `verified_count` pictures, run and verified; a fault is reported instead of a time.
inline constexpr std::int64_t kVerifiedCount = 4;
void add_case(const std::string& op, const std::string& name, std::int64_t picture_count,
              const MakeCase& make, std::int64_t verified_count = kVerifiedCount);

// Runs its argument when the program starts: `const Registrar kRelu([] { add_case(...); });`
struct Registrar {
  template <class F>
  explicit Registrar(const F& enrol) {
    enrol();
  }
};

// main() of a benchmark program: Google Benchmark's flags, and the machine as context lines.
int run_benchmarks(int argc, char** argv);

}  // namespace kiln::bench
