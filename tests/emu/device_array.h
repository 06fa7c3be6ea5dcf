// Memory of the emulated device with what a kernel is given and what it left.
#pragma once

#include <utility>
#include <vector>

#include "kernels/cuda/runtime.h"

namespace kiln {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::vector<T> values) : values_(std::move(values)) {
    memory_ = static_cast<T*>(cuda::allocate(0, bytes()));
    cuda::copy_to_device(0, memory_, values_.data(), bytes());
  }
  ~DeviceArray() { cuda::release(0, memory_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return memory_; }
  std::vector<T> fetch() const {
    std::vector<T> now(values_.size());
    cuda::copy_to_host(0, now.data(), memory_, bytes());
    return now;
  }

 private:
  std::size_t bytes() const { return values_.size() * sizeof(T); }
  std::vector<T> values_;
  T* memory_;
};

}  // namespace kiln
