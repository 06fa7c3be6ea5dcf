#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "engine/payload/decode.h"

namespace {

using namespace kiln::payload;

constexpr PictureShape kShape{.height = 1, .width = 3, .channels = 2};

Pictures decode(std::string_view body, const char* type) {
  try {
    return decode_pictures(body, type, kShape, {.picture_count = 64});
  } catch (const Refusal&) {
    return {};
  }
}

// The numbers of a body that was taken, one by one as the standard library reads them.
std::vector<float> numbers_of(std::string_view body) {
  std::vector<float> numbers;
  for (const char* at = body.data(); at != body.data() + body.size();) {
    float number = 0;
    const auto [end, error] = std::from_chars(at, body.data() + body.size(), number);
    if (end == at) {
      ++at;
      continue;
    }
    double wide = 0;
    if (error == std::errc::result_out_of_range) {
      std::from_chars(at, end, wide);
      number = static_cast<float>(wide);
    }
    numbers.push_back(number);
    at = end;
  }
  return numbers;
}

// The stored order [H, W, C] of numbers that came as [C, H, W].
std::vector<float> channels_last(const std::vector<float>& numbers) {
  std::vector<float> turned(numbers.size());
  const auto size = static_cast<std::size_t>(kShape.size()), channels = std::size_t{2};
  for (std::size_t i = 0; i < numbers.size(); ++i)
    turned[i / size * size + i % size % (size / channels) * channels +
           i % size / (size / channels)] = numbers[i];
  return turned;
}

}  // namespace

// Any bytes as lines of numbers: what is taken is finite, whole and what the standard library
// reads; pixels are the same numbers where they are read as what the network sees.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const Pictures plain = decode(body, "text/csv"),
                 network = decode(body, "text/csv;values=network");
  decode(body, "text/csv;values=pixels");
  for (const float value : network.values)
    if (!std::isfinite(value)) std::abort();
  if (plain.count > 0 && network.count != plain.count) std::abort();
  if (network.count > 0 && network.values != channels_last(numbers_of(body))) std::abort();
  for (std::size_t i = 0; i < plain.bytes.size(); ++i)
    if (network.values[i] != static_cast<float>(plain.bytes[i])) std::abort();
  return 0;
}
