// Pictures of a request, in the order of the network's input.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace kiln::payload {

struct PictureShape {
  std::int64_t height = 0, width = 0, channels = 0;
  std::int64_t size() const { return height * width * channels; }
  bool operator==(const PictureShape&) const = default;
};

// [count, height, width, channels], as one of three:
//   bytes   pixels 0 to 255; the network's normalisation is still to be applied
//   lent    the same, lying with someone else
//   values  what the network sees: a client that normalised, as PyTorch's do, sends these
struct Pictures {
  std::int64_t count = 0;
  std::vector<std::uint8_t> bytes;
  std::vector<float> values;
  bool instances = false;  // came as {"instances": ...}: the reply is {"predictions": ...}
  std::span<const std::uint8_t> lent{};

  std::span<const std::uint8_t> pixels() const { return lent.empty() ? std::span(bytes) : lent; }
  // Makes what is lent its own.
  void keep();
};

}  // namespace kiln::payload
