// Where data lies and work runs.
#pragma once

#include <string>

namespace kiln {

enum class DeviceType { cpu, cuda };

// A strong value; a bare int is never a device.
struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

inline std::string to_string(Device device) {
  return device.type == DeviceType::cpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

}  // namespace kiln
