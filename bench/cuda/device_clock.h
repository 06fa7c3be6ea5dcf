// Times the work of a device's queue, and measures what the device can do at most. One of
// device_clock_cuda.cu (CUDA events) and device_clock_host.cpp (no device: nothing is timed) is
// linked.
#pragma once

#include <functional>

#include "engine/core/context.h"

namespace kiln::bench {

struct DevicePeaks {
  double copy = 0;          // B/s of a copy within the device, read and written bytes both counted
  double fma = 0;           // FLOP/s of f32 multiply-adds (two each), operands in registers
  double tensor_cores = 0;  // FLOP/s of mma.sync with bf16 factors and f32 sums
};

// The best of ten runs each; all 0 where nothing can be timed. Copies move 1 GiB, far more than any
// cache holds.
DevicePeaks measure_device_peaks(Context& c);

// Seconds that the device took for `calls` calls, from an event before the first one to an event
// behind the last. The queue is kept filled, so a kernel longer than its launch hides the launch.
double device_seconds(Context& c, int calls, const std::function<void()>& call);

}  // namespace kiln::bench
