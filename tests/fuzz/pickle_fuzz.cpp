#include <cstdint>
#include <vector>

#include "engine/core/error.h"
#include "engine/data/formats/cifar_python.h"

// A pickle as a batch of pictures and as a list of names: refused with an Error or read.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> bytes(data, size);
  try {
    const kiln::formats::CifarPickle batch("input", bytes);
    std::vector<std::int32_t> labels(static_cast<std::size_t>(batch.size()));
    std::vector<std::uint8_t> images(labels.size() * 3072);
    batch.decode(10, labels, images.data());
  } catch (const kiln::Error&) {
  }
  try {
    kiln::formats::cifar_label_names("input", bytes);
  } catch (const kiln::Error&) {
  }
  return 0;
}
