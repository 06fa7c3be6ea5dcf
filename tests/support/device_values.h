// Plain structs in the memory of the device under test.
#pragma once

#include <type_traits>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/transfer.h"
#include "tests/support/devices.h"

namespace kiln::test {

template <class T>
class DeviceValues {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit DeviceValues(const std::vector<T>& values)
      : count_(values.size()), memory_(test_device(), values.size() * sizeof(T)) {
    set(values);
  }
  void set(const std::vector<T>& values) {
    copy_to_device(test_device(), memory_.data(), values.data(), count_ * sizeof(T));
  }
  std::vector<T> get() const {
    std::vector<T> values(count_);
    copy_to_host(test_device(), values.data(), memory_.data(), count_ * sizeof(T));
    return values;
  }
  T* data() const { return reinterpret_cast<T*>(memory_.data()); }

 private:
  std::size_t count_;
  Buffer memory_;
};

}  // namespace kiln::test
