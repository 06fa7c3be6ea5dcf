#include <cstdint>

#include "engine/payload/decode.h"
#include "engine/payload/encode.h"

// The first line is a Content-Type and an Accept, the rest a body, under limits small enough for
// many runs a second.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kiln::payload;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view type = text.substr(0, text.find('\n'));
  const std::string_view body = text.substr(std::min(size, type.size() + 1));
  try {
    const Pictures pictures =
        decode_pictures(body, type, {.height = 4, .width = 5, .channels = 3},
                        {.picture_count = 16, .image_side = 256, .image_pixels = 1 << 14});
    if (pictures.count < 1) __builtin_trap();
  } catch (const Refusal&) {
  }
  if (const auto reply = choose_reply_type(type)) {
    const float values[] = {0.5f, -1e-7f};
    if (encode_outputs(values, 1, 2, *reply).empty()) __builtin_trap();
  }
  return 0;
}
