// Bodies of requests into pictures, by their media type.
//
//   image/png, image/jpeg      one picture of any size within the limits, resized to the network's;
//                              application/x-image is either of them
//   application/x-npy          [N,C,H,W], [N,H,W,C] or one picture without N
//   application/json           nested lists, the same shapes; also {"instances": [...]}
//   text/csv                   one picture a line, [C,H,W] flattened as NumPy does
//   application/octet-stream   bytes, whole pictures [H,W,C]
//
// Where an array's extents fit both orders, the channels come first, as PyTorch's clients send
// them. npy: float16, float32, float64, integers of 8 to 64 bits and bool, little and big endian, C
// and Fortran order; neither objects nor records.
//
// Integers are pixels (0 to 255), numbers with a fraction are what the network sees. In text that
// is told by the writing: a body with neither `.` nor an exponent holds integers. The media type's
// parameter `values=pixels` or `values=network` says it outright: pixels with a fraction are
// rounded to the nearest byte, halves to the even one. NaN and infinity are refused with their
// place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/payload/pictures.h"
#include "engine/payload/refusal.h"

namespace kiln::payload {

struct DecodeLimits {
  std::int64_t picture_count = 1 << 12;  // of a request
  int image_side = 4096;                 // of an encoded picture
  std::int64_t image_pixels = std::int64_t{1} << 24;
};

// Throws Refusal: 415 for a media type that is none of these, 400 for a body that is not what its
// type says or does not fit the shape, 413 for more than the limits. Thread-safe.
Pictures decode_pictures(std::string_view body, std::string_view content_type,
                         const PictureShape& shape, const DecodeLimits& limits = {});

// The same, but bytes that are pixels already (application/octet-stream) are lent, where they lie
// in `body`.
Pictures lend_pictures(std::string_view body, std::string_view content_type,
                       const PictureShape& shape, const DecodeLimits& limits = {});

}  // namespace kiln::payload
