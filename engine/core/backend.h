// DeviceBackend: what a device other than the CPU brings along, a versioned table of functions. It
// comes out of a plug-in (libkiln_cuda.so, libkiln_emu.so) by one C entry; nothing of CUDA is
// visible on this side. Plug-in and program must be of one build: the functions take C++ references
// and throw kiln::Error, so the entry refuses a caller whose layout differs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/core/device.h"

namespace kiln {

class Context;
class Tensor;

struct DeviceBackend {
  std::uint32_t version = 0;
  DeviceType type = DeviceType::cuda;

  int (*device_count)() = nullptr;
  // One line for the log: "NVIDIA H200, 132 multiprocessors, 139.8 GiB, driver 13.0".
  const char* (*describe)(int index) = nullptr;

  // Zero-filled. Throws Error (io) that says how much was wanted and how much is free.
  void* (*allocate)(int index, std::size_t size_bytes) = nullptr;
  void (*release)(int index, void* memory) noexcept = nullptr;
  // kiln's own queue of the device, made with the first call; never CUDA's default stream.
  std::uintptr_t (*stream)(int index) = nullptr;

  // All of these wait until they are done, and for the work queued before them.
  void (*copy_to_device)(int index, void* to, const void* from, std::size_t size_bytes) = nullptr;
  void (*copy_to_host)(int index, void* to, const void* from, std::size_t size_bytes) = nullptr;
  void (*fill)(int index, void* to, int byte, std::size_t size_bytes) = nullptr;
  void (*synchronise)(int index) = nullptr;

  // A graph is work that was queued once, between begin and end, and is then launched as often as
  // wanted, in one call. While it is captured nothing runs, arguments are taken by value, and what
  // the host would have to wait for is an error: the copies and waits above, and memory that is
  // asked for or given back. Captures belong to the calling thread; one at a time.
  void (*begin_capture)(int index) = nullptr;
  // The graph, owned by the caller. Throws where the capture was spoilt, naming what spoilt it.
  void* (*end_capture)(int index) = nullptr;
  void (*abandon_capture)(int index) noexcept = nullptr;
  void (*launch_graph)(int index, void* graph) = nullptr;
  void (*release_graph)(int index, void* graph) noexcept = nullptr;

  // Host memory that the device itself can write while the program goes on. Zero-filled.
  void* (*allocate_pinned)(int index, std::size_t size_bytes) = nullptr;
  void (*release_pinned)(int index, void* memory) noexcept = nullptr;
  // Queues a copy into pinned memory and comes back at once. The bytes may be read when an event
  // recorded behind the copy is done.
  void (*queue_copy_to_host)(int index, void* to, const void* from,
                             std::size_t size_bytes) = nullptr;
  // An event marks a place in the queue; recorded anew, it marks the new one. `wait` gives the
  // core to other threads meanwhile.
  void* (*make_event)(int index) = nullptr;
  void (*release_event)(int index, void* event) noexcept = nullptr;
  void (*record_event)(int index, void* event) = nullptr;
  bool (*event_done)(int index, void* event) = nullptr;
  void (*wait_event)(int index, void* event) = nullptr;

  // The kernels, by Op (kernels/common/op_id.h); null where the device has none. `args` points to
  // the Args struct of the op, which has been checked.
  using Run = void (*)(Context& context, const void* args);
  const Run* ops = nullptr;
};

inline constexpr std::uint32_t kDeviceBackendVersion = 2;

// The plug-in's entry, `kiln_device_backend`. Null where version or layout differ.
struct BackendCaller {
  std::uint32_t version = kDeviceBackendVersion;
  std::uint32_t op_count = 0;
  std::uint32_t tensor_bytes = 0, context_bytes = 0;
};
using BackendEntry = const DeviceBackend* (*)(const BackendCaller* caller);
inline constexpr const char* kBackendEntryName = "kiln_device_backend";

}  // namespace kiln
