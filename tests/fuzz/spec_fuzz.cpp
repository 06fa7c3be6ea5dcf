// Spec files: whatever the bytes, an Error or a network that survives the trip through JSON.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/core/error.h"
#include "models/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const kiln::ModelSpec spec =
        kiln::parse_spec({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (kiln::parse_spec(kiln::to_json(spec), "again") != spec) std::abort();
  } catch (const kiln::Error&) {
  }
  return 0;
}
