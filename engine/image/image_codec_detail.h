// Shared by the decoders behind image_codec.h.
#pragma once

#include "engine/image/image_codec.h"

namespace kiln::image_detail {

[[noreturn]] void refuse(std::string_view name, std::string_view wrong, std::string_view mend = {});
ImageKind known_kind(std::span<const std::byte> bytes, std::string_view name);
// Refuses sides and areas that are empty or past the limits.
void check_extents(std::string_view name, std::int64_t width, std::int64_t height,
                   const ImageLimits& limits);
// Refuses a JPEG whose scans together pass over 16 times the pixels of the limits: each scan of a
// progressive one is a few bytes and one pass over all its coefficients. Writers make 10 or so.
void check_scans(std::span<const std::byte> bytes, std::string_view name, std::int64_t pixels,
                 const ImageLimits& limits);

}  // namespace kiln::image_detail
