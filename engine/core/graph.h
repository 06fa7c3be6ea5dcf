// Owners of what a device's queue needs beside memory: captured graphs, memory of the host that the
// device writes, and marks in the queue. Not for the CPU, whose queue is the calling thread.
#pragma once

#include <cstddef>

#include "engine/core/backend.h"
#include "engine/core/device.h"

namespace kiln {

// Work that was queued once and is launched again in one call; the arguments are those of the
// capture, so what changes from launch to launch must lie in device memory.
class Graph {
 public:
  // Runs `work`, which queues kernels and copies of the device; nothing of it runs yet. Throws
  // where it allocates or waits: engine/core/backend.h.
  template <class F>
  static Graph capture(Device device, F&& work) {
    device.backend->begin_capture(device.index);
    try {
      work();
    } catch (...) {
      device.backend->abandon_capture(device.index);
      throw;
    }
    return {device, device.backend->end_capture(device.index)};
  }
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  // Queues the work behind what was queued before.
  void launch() const { device_.backend->launch_graph(device_.index, graph_); }

 private:
  Graph(Device device, void* graph) : device_(device), graph_(graph) {}

  Device device_;
  void* graph_ = nullptr;
};

// A mark in the queue of a device.
class Event {
 public:
  explicit Event(Device device)
      : device_(device), event_(device.backend->make_event(device.index)) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { device_.backend->release_event(device_.index, event_); }

  // Behind the work queued so far.
  void record() { device_.backend->record_event(device_.index, event_); }
  bool done() const { return device_.backend->event_done(device_.index, event_); }
  void wait() const { device_.backend->wait_event(device_.index, event_); }

 private:
  Device device_;
  void* event_;
};

// Host memory, zero-filled, for copies from the device that nobody waits for.
class PinnedBuffer {
 public:
  PinnedBuffer(Device device, std::size_t size_bytes)
      : device_(device), data_(device.backend->allocate_pinned(device.index, size_bytes)) {}
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  ~PinnedBuffer() { device_.backend->release_pinned(device_.index, data_); }

  void* data() const { return data_; }

 private:
  Device device_;
  void* data_;
};

}  // namespace kiln
