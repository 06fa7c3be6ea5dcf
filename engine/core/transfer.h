// Between the host and a device's memory. On the CPU these are plain copies, or none.
#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "engine/core/backend.h"
#include "engine/core/tensor.h"

namespace kiln {

inline void copy_to_device(Device device, void* to, const void* from, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  if (device.is_host())
    std::memcpy(to, from, size_bytes);
  else
    device.backend->copy_to_device(device.index, to, from, size_bytes);
}

inline void copy_to_host(Device device, void* to, const void* from, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  if (device.is_host())
    std::memcpy(to, from, size_bytes);
  else
    device.backend->copy_to_host(device.index, to, from, size_bytes);
}

inline void fill_bytes(Device device, void* to, int byte, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  if (device.is_host())
    std::memset(to, byte, size_bytes);
  else
    device.backend->fill(device.index, to, byte, size_bytes);
}

// All elements of a tensor, on the host.
template <class T>
std::vector<T> elements_of(const Tensor& tensor) {
  std::vector<T> elements(static_cast<std::size_t>(tensor.element_count()));
  copy_to_host(tensor.device(), elements.data(), tensor.data<T>(), tensor.size_bytes());
  return elements;
}

template <class T>
void set_elements(const Tensor& tensor, std::span<const T> elements) {
  KILN_CHECK(static_cast<std::int64_t>(elements.size()) == tensor.element_count());
  copy_to_device(tensor.device(), tensor.data<T>(), elements.data(), tensor.size_bytes());
}

}  // namespace kiln
