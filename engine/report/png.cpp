#include "engine/report/png.h"

#include <cstdlib>
#include <memory>

#include "engine/core/check.h"

// Only the encoder, private to this file; kiln writes its files itself.
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace kiln {
namespace {

void append_bytes(void* out, void* data, int size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(data),
                                         static_cast<std::size_t>(size));
}

}  // namespace

std::string encode_png(const Picture& picture) {
  KILN_CHECK(picture.height > 0 && picture.width > 0);
  KILN_CHECK(picture.channel_count == 1 || picture.channel_count == 3);
  const auto row_bytes =
      static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.channel_count);
  KILN_CHECK(picture.pixels.size() == static_cast<std::size_t>(picture.height) * row_bytes);
  std::string png;
  const int done = stbi_write_png_to_func(append_bytes, &png, picture.width, picture.height,
                                          picture.channel_count, picture.pixels.data(),
                                          static_cast<int>(row_bytes));
  KILN_CHECK(done != 0);
  return png;
}

void write_png(const Path& path, const Picture& picture) {
  write_file_atomic(path, encode_png(picture));
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (i + j < bytes.size() ? static_cast<std::uint8_t>(bytes[i + j]) : 0u);
    for (std::size_t j = 0; j < 4; ++j)
      out += i + j <= bytes.size() ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::string png_data_uri(const Picture& picture) {
  return "data:image/png;base64," + base64(encode_png(picture));
}

}  // namespace kiln
