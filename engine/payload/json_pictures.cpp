#include "engine/payload/json_pictures.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "engine/core/error.h"
#include "engine/payload/json_numbers.h"

namespace kiln::payload {
namespace {

using namespace detail;

constexpr std::string_view kThing = "JSON";

JsonNumbersLimits numbers_limits(const PictureShape& shape, const DecodeLimits& limits) {
  const auto size = static_cast<std::size_t>(shape.size());
  const auto pictures = static_cast<std::size_t>(limits.picture_count);
  const std::size_t most = std::numeric_limits<std::size_t>::max() / size;
  return {.count = std::min(pictures, most) * size,
          .too_many = "holds more than " + std::to_string(limits.picture_count) + " pictures"};
}

// Flattened pictures are [C, H, W] within, as NumPy flattens what PyTorch's clients hold.
ArrayLayout layout_of(std::span<const std::int64_t> extents, const PictureShape& shape,
                      const DecodeLimits& limits) {
  const std::size_t rank = extents.size();
  if (rank > 2) return array_layout(kThing, extents, false, shape, limits);
  const std::int64_t count = rank == 2 ? extents.front() : 1;
  check_picture_count(kThing, count, limits);
  if (extents.back() != shape.size())
    refuse(400, kThing, "has the shape " + bracketed(extents),
           "send [N, " + std::to_string(shape.size()) + "] for flattened pictures, or lists as " +
               bracketed(std::array{shape.channels, shape.height, shape.width}) + " or " +
               bracketed(std::array{shape.height, shape.width, shape.channels}));
  return array_layout(kThing, std::array{count, shape.channels, shape.height, shape.width}, false,
                      shape, limits);
}

class PicturesReader {
 public:
  PicturesReader(std::string_view body, const PictureShape& shape, const DecodeLimits& limits,
                 std::optional<bool> pixels)
      : reader_(body), shape_(shape), limits_(limits) {
    if (pixels) are_ = *pixels ? JsonNumbersAre::pixels : JsonNumbersAre::values;
  }

  Pictures read() {
    const bool object = reader_.kind() == JsonKind::object;
    std::optional<Pictures> pictures;
    if (object)
      read_object(pictures);
    else
      pictures = read_lists();
    reader_.end();
    if (!pictures)
      refuse(400, kThing, "has no member `instances`", "send {\"instances\": [...]} or a list");
    pictures->instances = object;
    return std::move(*pictures);
  }

 private:
  // What the body of TensorFlow Serving and of its relatives may hold besides has no meaning here.
  void read_object(std::optional<Pictures>& pictures) {
    reader_.enter_object();
    bool others[2] = {};
    for (std::string_view key; reader_.next_member(key);) {
      if (key == "instances") {
        if (pictures) reader_.refuse("the member `instances` comes twice");
        pictures = read_lists();
      } else if (key == "signature_name" || key == "parameters") {
        bool& seen = others[key == "parameters" ? 1 : 0];
        if (std::exchange(seen, true)) reader_.refuse("a member comes twice");
        reader_.skip();
      } else {
        reader_.refuse("the member '" + printable(key, 40) + "' is not known here",
                       "send {\"instances\": [...]}");
      }
    }
  }

  Pictures read_lists() {
    if (reader_.kind() != JsonKind::array)
      reader_.refuse("no list of numbers begins here", "send a picture as lists of numbers");
    JsonNumbers numbers = read_json_numbers(reader_, are_, numbers_limits(shape_, limits_));
    const ArrayLayout layout = layout_of(numbers.extents, shape_, limits_);
    return arrange(std::move(numbers), layout, shape_);
  }

  JsonReader reader_;
  const PictureShape shape_;
  const DecodeLimits limits_;
  JsonNumbersAre are_ = JsonNumbersAre::told_by_writing;
};

}  // namespace

Pictures decode_json_pictures(std::string_view body, const PictureShape& shape,
                              const DecodeLimits& limits, std::optional<bool> pixels) {
  return PicturesReader(body, shape, limits, pixels).read();
}

}  // namespace kiln::payload
