// Pictures out of JSON: nested lists of numbers, alone or as {"instances": [...]}.
//
//   [N,C,H,W], [N,H,W,C]    lists of lists, or one picture without N; where both fit, the channels
//                           come first
//   [N, C*H*W], [C*H*W]     flattened, in the order C, H, W
//
// Beside `instances` the members `signature_name` and `parameters` are read over; any other is
// refused, because a word written wrong would be one too.
#pragma once

#include <optional>
#include <string_view>

#include "engine/payload/decode.h"

namespace kiln::payload {

// `pixels`: what the media type's parameter `values` said, if anything. Without it the numbers are
// pixels where none of the lists' has a fraction or an exponent. Takes memory for no more than the
// numbers that the body holds, and for none beyond the limit of pictures. Throws Refusal: 400 with
// the byte or the element, 413 for too many pictures.
Pictures decode_json_pictures(std::string_view body, const PictureShape& shape,
                              const DecodeLimits& limits, std::optional<bool> pixels = {});

}  // namespace kiln::payload
