// Pictures out of JSON: nested lists of numbers, alone or as {"instances": [...]}.
#pragma once

#include <optional>
#include <string_view>

#include "engine/payload/decode.h"

namespace kiln::payload {

// `pixels`: what the media type's parameter `values` said, if anything.
Pictures decode_json_pictures(std::string_view body, const PictureShape& shape,
                              const DecodeLimits& limits, std::optional<bool> pixels = {});

}  // namespace kiln::payload
