#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/payload/decode.h"

namespace {

using namespace kiln::payload;

constexpr PictureShape kShape{.height = 1, .width = 2, .channels = 2};

Pictures decode(std::string_view body, const char* type) {
  try {
    return decode_pictures(body, type, kShape, {.picture_count = 64});
  } catch (const Refusal&) {
    return {};
  }
}

}  // namespace

// Any bytes as lines of numbers: what is taken is finite and whole, and pixels are the same numbers
// where they are read as what the network sees.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const Pictures plain = decode(body, "text/csv"),
                 network = decode(body, "text/csv;values=network");
  decode(body, "text/csv;values=pixels");
  for (const float value : network.values)
    if (!std::isfinite(value)) std::abort();
  if (plain.count > 0 && network.count != plain.count) std::abort();
  if (network.values.size() != static_cast<std::size_t>(network.count * kShape.size()))
    std::abort();
  for (std::size_t i = 0; i < plain.bytes.size(); ++i)
    if (network.values[i] != static_cast<float>(plain.bytes[i])) std::abort();
  return 0;
}
