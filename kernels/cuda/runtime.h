// The device's memory and queue: the CUDA runtime (runtime_cuda.cu), or the host's memory where
// kernels are emulated (kernels/emu/runtime_emu.cpp). One of the two is linked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace kiln::cuda {

// The functions of DeviceBackend of the same names.
int device_count();
const char* describe(int index);
void* allocate(int index, std::size_t size_bytes);
void release(int index, void* memory) noexcept;
std::uintptr_t stream(int index);
void copy_to_device(int index, void* to, const void* from, std::size_t size_bytes);
void copy_to_host(int index, void* to, const void* from, std::size_t size_bytes);
void fill(int index, void* to, int byte, std::size_t size_bytes);
void synchronise(int index);
void begin_capture(int index);
void* end_capture(int index);
void abandon_capture(int index) noexcept;
void launch_graph(int index, void* graph);
void release_graph(int index, void* graph) noexcept;
void* allocate_pinned(int index, std::size_t size_bytes);
void release_pinned(int index, void* memory) noexcept;
void queue_copy_to_host(int index, void* to, const void* from, std::size_t size_bytes);
void* make_event(int index);
void release_event(int index, void* event) noexcept;
void record_event(int index, void* event);
bool event_done(int index, void* event);
void wait_event(int index, void* event);

// Throws Error (io) naming the op where the last launch failed.
void check_launch(const char* op);

#if !defined(__CUDACC__)
// While one lives, the host may touch the emulated device's memory. Without it, it is protected as
// if it lay on another card: a program that reads a device pointer by mistake stops at once.
class DeviceMemoryOpen {
 public:
  DeviceMemoryOpen();
  ~DeviceMemoryOpen();
  DeviceMemoryOpen(const DeviceMemoryOpen&) = delete;
  DeviceMemoryOpen& operator=(const DeviceMemoryOpen&) = delete;
};

// Runs `work`, with the device's memory open; where the calling thread captures a graph it keeps it
// for every launch of the graph instead.
void run_or_capture(std::function<void()> work);
#endif

}  // namespace kiln::cuda
