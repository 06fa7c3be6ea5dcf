#include <cstdint>

#include "engine/core/error.h"
#include "engine/image/image_codec.h"

// JPEG and PNG under limits small enough for many runs a second.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  for (const int channels : {0, 1, 3}) {
    try {
      kiln::decode_image(bytes, "input", channels, {.max_side = 512, .max_pixels = 1 << 16});
    } catch (const kiln::Error&) {
    }
  }
  return 0;
}
