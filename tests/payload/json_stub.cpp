// Stands in for JSON where a test is about the other types.
#include "engine/payload/json_pictures.h"

namespace kiln::payload {

Pictures decode_json_pictures(std::string_view body, const PictureShape& shape,
                              const DecodeLimits& limits, std::optional<bool> pixels) {
  Pictures pictures{.count = 1, .bytes = {}, .values = {}, .instances = pixels.value_or(false)};
  if (body.empty() || limits.picture_count < 1) throw Refusal(400, "stub: is empty");
  pictures.bytes.assign(static_cast<std::size_t>(shape.size()), 7);
  return pictures;
}

}  // namespace kiln::payload
