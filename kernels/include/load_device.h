// Devices other than the CPU, out of their plug-ins. A program starts without one NVIDIA file on
// the machine: libkiln_cuda.so is opened only after libcuda has reported a device.
#pragma once

#include <optional>
#include <string>

#include "engine/core/backend.h"

namespace kiln {

// Device `index` of this type, or nothing with the reason in `why`. The plug-in is looked for
// beside the program and in ../lib; it stays loaded for the life of the process.
std::optional<Device> load_device(DeviceType type, int index, std::string& why);

}  // namespace kiln
