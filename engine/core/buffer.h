// Buffer: the move-only owner of device memory.
#pragma once

#include <cstddef>

#include "engine/core/device.h"

namespace kiln {

class Buffer {
 public:
  // Every slot and every buffer starts on a multiple of this: one cache line, one 512-bit vector.
  static constexpr std::size_t kAlignment = 64;

  Buffer() = default;
  // Zero-filled memory of at least `size_bytes` on `device`. Throws Error (io) when there is none.
  Buffer(Device device, std::size_t size_bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  Device device() const { return device_; }

 private:
  void release() noexcept;

  Device device_;
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace kiln
