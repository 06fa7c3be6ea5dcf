// The only way pictures are decoded and encoded; no decoder's header is seen outside its .cpp.
//
// Which decoder is built in is decided by CMake and told by image_decoder_name(): libjpeg-turbo
// with libpng, or stb_image where its version is 2.30 or newer (older ones write out of bounds on
// crafted files). Bytes are untrusted: dimensions are checked against ImageLimits before any memory
// is taken, and a cut or damaged picture is an error, never a picture with grey areas. A picture
// within the limits costs at most 9 bytes of memory a pixel (RGB, and the coefficients of a JPEG in
// several scans), 16 passes over as many pixels as the limits allow, and twice its own bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/error.h"

namespace kiln {

struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;                      // 1 grey, 3 RGB
  std::vector<std::uint8_t> bytes = {};  // [height, width, channels]
};

struct ImageLimits {
  int max_side = 16'384;
  std::int64_t max_pixels = std::int64_t{1} << 25;  // 33.5 million, 100 MB as RGB
};

// More pixels, or more work, than the limits allow.
class ImageTooLarge : public Error {
 public:
  using Error::Error;
};

struct ImageHeader {
  int width = 0;
  int height = 0;
  bool grey = false;
};

// Decodes JPEG and PNG (told apart by their first bytes) to 8 bits per channel. Alpha is dropped,
// as PIL's convert("RGB") does; palettes and 16-bit samples are converted; orientation tags are not
// obeyed. Keeps its working memory: one per thread.
class ImageDecoder {
 public:
  explicit ImageDecoder(const ImageLimits& limits = {});
  ~ImageDecoder();
  ImageDecoder(ImageDecoder&&) noexcept;
  ImageDecoder& operator=(ImageDecoder&&) noexcept;

  // `name` is what messages call the picture. Throws Error (input), ImageTooLarge among them.
  ImageHeader header(std::span<const std::byte> bytes, std::string_view name);
  // To `channels` channels (1 or 3), or for 0 to those that the picture has. Reuses out.bytes.
  void decode(std::span<const std::byte> bytes, std::string_view name, int channels, Image& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// One picture, for callers without many.
Image decode_image(std::span<const std::byte> bytes, std::string_view name, int channels = 0,
                   const ImageLimits& limits = {});

// "libjpeg-turbo 2.1.5 and libpng 1.6.39", or "stb_image 2.30".
std::string image_decoder_name();

std::vector<std::byte> encode_png(const Image& image);

enum class ImageKind { unknown, jpeg, png };
ImageKind image_kind(std::span<const std::byte> bytes);

}  // namespace kiln
