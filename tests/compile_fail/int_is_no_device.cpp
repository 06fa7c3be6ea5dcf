// A bare number never names a device.
#include <string>

#include "engine/core/device.h"

std::string name_of_device() {
#ifdef KILN_MUST_FAIL
  return kiln::to_string(0);
#else
  return kiln::to_string(kiln::Device{kiln::DeviceType::cuda, 0});
#endif
}
