#include <cstdint>
#include <vector>

#include "engine/core/error.h"
#include "engine/data/formats/cifar_binary.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto count = static_cast<std::size_t>(kiln::formats::cifar_record_count("input", size));
    std::vector<std::int32_t> labels(count);
    std::vector<std::uint8_t> images(count * kiln::formats::kCifarImageBytes);
    kiln::formats::decode_cifar_records("input", {data, size}, 0, 10, labels, images.data());
  } catch (const kiln::Error&) {
  }
  return 0;
}
