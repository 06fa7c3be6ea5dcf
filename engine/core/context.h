// Context: everything that running work needs to know, passed first to every layer and kernel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/core/backend.h"
#include "engine/core/device.h"
#include "engine/core/log.h"
#include "engine/core/stream.h"
#include "engine/core/thread_pool.h"

namespace kiln {

enum class Mode { train, eval };

struct StepState;        // kernels/include/step_state.h
class BackwardListener;  // engine/train/backward_listener.h
class ChannelExchange;   // kernels/include/channel_exchange.h

// Where training stands. Random numbers of a step depend on these three alone.
struct StepCounter {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t step = 0;  // optimizer steps since the start of training
};

class Context {
 public:
  // Partial sums under --deterministic: enough to keep eight cores busy, few enough that adding
  // them up stays below 1 % of a step.
  static constexpr int kDeterministicParts = 8;
  // Partial sums on another device: blocks enough to fill it, and items enough to keep one busy.
  static constexpr int kDeviceParts = 512;
  static constexpr std::int64_t kDevicePartItems = 64;

  Context(Device device, ThreadPool& pool, Log& log, bool deterministic = false)
      : device_(device),
        stream_(Stream::of(
            device, device.is_host() ? std::uintptr_t{0} : device.backend->stream(device.index))),
        pool_(&pool),
        log_(&log),
        deterministic_(deterministic) {}

  Device device() const { return device_; }
  Stream stream() const { return stream_; }
  ThreadPool& pool() const { return *pool_; }
  Log& log() const { return *log_; }
  bool deterministic() const { return deterministic_; }

  // Number of partial sums into which a reduction over `item_count` items is cut. Partial sums are
  // added in the order of their numbers, so the bits of a result depend on this number alone: on
  // the thread count normally, on nothing but the items under --deterministic and on other devices.
  int reduction_parts(std::int64_t item_count) const {
    if (!device_.is_host())
      return static_cast<int>(
          std::clamp<std::int64_t>(item_count / kDevicePartItems, 1, kDeviceParts));
    const int parts = deterministic_ ? kDeterministicParts : pool_->thread_count();
    return static_cast<int>(std::clamp<std::int64_t>(item_count, 1, parts));
  }

  Mode mode = Mode::train;
  StepCounter counter;
  // Where not null, ops of this device read counter and rates there, not from the numbers above.
  const StepState* step_state = nullptr;
  // Where not null, told of every layer whose backward pass is done.
  BackwardListener* backward_listener = nullptr;
  // Where not null, batch normalisation in training takes its means over all ranks.
  ChannelExchange* channel_exchange = nullptr;

 private:
  Device device_;
  Stream stream_;
  ThreadPool* pool_;
  Log* log_;
  bool deterministic_;
};

}  // namespace kiln
