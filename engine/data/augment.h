// Changes pictures on the host; what happens to each is drawn as engine/core/augmentation.h says.
#pragma once

#include <cstdint>

#include "engine/core/augmentation.h"

namespace kiln {

// Writes the changed picture to `out`; `in` and `out` are [height, width, channels] and do not
// overlap. Order: crop, flip, cutout.
void apply_augmentation(const Augmentation& augmentation, const ImageExtents& extents,
                        const AugmentDraw& draw, const std::uint8_t* in, std::uint8_t* out);

// Throws Error (usage) when the settings do not fit pictures of these extents.
void check_augmentation(const Augmentation& augmentation, const ImageExtents& extents);

}  // namespace kiln
