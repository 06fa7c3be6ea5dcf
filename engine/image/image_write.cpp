// PNG writing by stb_image_write; it takes trusted pixels, so any version serves.
#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wextra"
#endif
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "engine/image/image_codec.h"

namespace kiln {

std::vector<std::byte> encode_png(const Image& image) {
  KILN_CHECK(image.channels == 1 || image.channels == 3);
  std::vector<std::byte> out;
  const auto append = [](void* context, void* data, int size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    static_cast<std::vector<std::byte>*>(context)->insert(
        static_cast<std::vector<std::byte>*>(context)->end(), bytes, bytes + size);
  };
  if (stbi_write_png_to_func(append, &out, image.width, image.height, image.channels,
                             image.bytes.data(), image.width * image.channels) == 0)
    throw Error(ErrorKind::io, "picture", "cannot be encoded as PNG");
  return out;
}

}  // namespace kiln
