// The device's memory and queue: the CUDA runtime (runtime_cuda.cu), or the host's memory where
// kernels are emulated (kernels/emu/runtime_emu.cpp). One of the two is linked.
#pragma once

#include <cstddef>
#include <cstdint>

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
#endif

}  // namespace kiln::cuda
