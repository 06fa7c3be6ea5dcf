// Stands in for libkiln_cuda.so in load_device_test: CUDA's runtime behind an old driver sees no
// device. KILN_STUB_PLUGIN=foreign makes it one of another build.
#include <cstdlib>
#include <string_view>

#include "engine/core/backend.h"

extern "C" const kiln::DeviceBackend* kiln_device_backend(const kiln::BackendCaller*) {
  static const kiln::DeviceBackend table{.device_count = [] { return 0; }};
  const char* kind = std::getenv("KILN_STUB_PLUGIN");
  return kind != nullptr && std::string_view(kind) == "foreign" ? nullptr : &table;
}
