// Resizing of pictures.
#pragma once

#include <vector>

#include "engine/image/image_codec.h"
#include "engine/image/image_size.h"

namespace kiln {

// Each axis on its own, rows first: where the picture shrinks, every new pixel is the mean over the
// stretch of old ones that it covers (borders weighted by their covered part); where it grows,
// linear interpolation between pixel centres. Values are rounded to the nearest byte, once.
class Resizer {
 public:
  // Writes [size.height, size.width, image.channels] to `out`.
  void resize(const Image& image, const ImageSize& size, std::uint8_t* out);

 private:
  std::vector<float> rows_;  // the picture after its columns were resized
};

}  // namespace kiln
