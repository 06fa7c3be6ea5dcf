// Where data lies and work runs.
#pragma once

#include <string>

namespace kiln {

struct DeviceBackend;  // engine/core/backend.h

// cuda: an NVIDIA GPU. emu: the CUDA kernels on the host, thread by thread (docs/emu.md).
enum class DeviceType { cpu, cuda, emu };

// A strong value; a bare int is never a device. `backend` is null for the CPU and never null for a
// device that a program got from load_device (engine/device/load.h).
struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  const DeviceBackend* backend = nullptr;
  bool operator==(const Device&) const = default;
  // Whether the program may read and write the device's memory itself.
  bool is_host() const { return type == DeviceType::cpu; }
};

inline std::string to_string(Device device) {
  if (device.type == DeviceType::cpu) return "cpu";
  return (device.type == DeviceType::cuda ? "cuda:" : "emu:") + std::to_string(device.index);
}

}  // namespace kiln
