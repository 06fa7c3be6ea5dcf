// Stream: a non-owning, ordered queue of work on one device. There is no null and no default
// stream: a program makes one on purpose and passes it. On the CPU work runs at once, in order.
#pragma once

#include <cstdint>

#include "engine/core/device.h"

namespace kiln {

class Stream {
 public:
  static Stream of(Device device, std::uintptr_t native_handle) { return {device, native_handle}; }
  Device device() const { return device_; }
  // The backend's own handle; 0 on the CPU, where the queue is the calling thread.
  std::uintptr_t native_handle() const { return native_handle_; }

 private:
  Stream(Device device, std::uintptr_t native_handle)
      : device_(device), native_handle_(native_handle) {}

  Device device_;
  std::uintptr_t native_handle_;
};

}  // namespace kiln
