#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "engine/payload/json_pictures.h"

namespace {

using namespace kiln::payload;

constexpr PictureShape kShape{.height = 1, .width = 3, .channels = 2};

Pictures decode(std::string_view body, std::optional<bool> pixels) {
  try {
    return decode_json_pictures(body, kShape, {.picture_count = 64}, pixels);
  } catch (const Refusal&) {
    return {};
  }
}

}  // namespace

// Any bytes as JSON: what is taken is whole and finite, and pixels are the same numbers where they
// are read as what the network sees.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const Pictures plain = decode(body, {}), network = decode(body, false);
  decode(body, true);
  const auto numbers = static_cast<std::size_t>(network.count * kShape.size());
  if (network.values.size() != numbers || !network.bytes.empty()) std::abort();
  for (const float value : network.values)
    if (!std::isfinite(value)) std::abort();
  if (plain.count > 0 && network.count != plain.count) std::abort();
  if (!plain.values.empty() && plain.values != network.values) std::abort();
  for (std::size_t i = 0; i < plain.bytes.size(); ++i)
    if (network.values[i] != static_cast<float>(plain.bytes[i])) std::abort();
  return 0;
}
