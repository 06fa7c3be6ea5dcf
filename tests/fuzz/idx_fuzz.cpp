#include <cstdint>

#include "engine/core/error.h"
#include "engine/data/formats/idx.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto source = kiln::formats::memory_source("input", {data, size}, 1 << 22);
    kiln::formats::read_idx_images("input", *source);
  } catch (const kiln::Error&) {
  }
  try {
    const auto source = kiln::formats::memory_source("input", {data, size}, 1 << 22);
    kiln::formats::read_idx_labels("input", *source);
  } catch (const kiln::Error&) {
  }
  return 0;
}
