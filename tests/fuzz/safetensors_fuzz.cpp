// Any bytes: either an Error, or entries that lie inside the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "engine/core/error.h"
#include "models/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    const kiln::SafetensorsContents contents = kiln::parse_safetensors(file, "fuzz");
    std::size_t data_bytes = 0;
    for (const kiln::SafetensorsEntry& entry : contents.entries) {
      const bool inside = entry.bytes.data() >= file.data() &&
                          entry.bytes.data() + entry.bytes.size() <= file.data() + file.size();
      if (!inside || contents.find(entry.name) != &entry) std::abort();
      data_bytes += entry.bytes.size();
    }
    if (data_bytes > size) std::abort();
  } catch (const kiln::Error&) {
  }
  return 0;
}
