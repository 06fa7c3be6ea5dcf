#include <cstdint>

#include "engine/core/error.h"
#include "engine/data/formats/cifar_archive.h"

// Gzip, tar and the batches inside, within a small limit on what may come out.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto source = kiln::formats::memory_source("input", {data, size}, 1 << 22);
    kiln::formats::load_cifar_archive("input", *source, true, true);
  } catch (const kiln::Error&) {
  }
  return 0;
}
