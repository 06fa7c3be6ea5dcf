// What all decoders share: recognising a picture, and checking what it claims to be.
#include "engine/image/image_codec.h"

#include <algorithm>
#include <array>

#include "engine/core/error.h"
#include "engine/image/image_codec_detail.h"

namespace kiln {

ImageKind image_kind(std::span<const std::byte> bytes) {
  constexpr std::array<std::uint8_t, 3> kJpeg = {0xFF, 0xD8, 0xFF};
  constexpr std::array<std::uint8_t, 8> kPng = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  const auto starts_with = [bytes](std::span<const std::uint8_t> magic) {
    return bytes.size() >= magic.size() &&
           std::equal(magic.begin(), magic.end(), bytes.begin(),
                      [](std::uint8_t a, std::byte b) { return std::byte{a} == b; });
  };
  if (starts_with(kJpeg)) return ImageKind::jpeg;
  return starts_with(kPng) ? ImageKind::png : ImageKind::unknown;
}

Image decode_image(std::span<const std::byte> bytes, std::string_view name, int channels,
                   const ImageLimits& limits) {
  Image image;
  ImageDecoder(limits).decode(bytes, name, channels, image);
  return image;
}

namespace image_detail {

void refuse(std::string_view name, std::string_view wrong, std::string_view mend) {
  throw Error(ErrorKind::input, printable(name, 4096), wrong, mend);
}

ImageKind known_kind(std::span<const std::byte> bytes, std::string_view name) {
  if (bytes.empty()) refuse(name, "is empty");
  const ImageKind kind = image_kind(bytes);
  if (kind == ImageKind::unknown) refuse(name, "is neither a JPEG nor a PNG picture");
  return kind;
}

void check_extents(std::string_view name, std::int64_t width, std::int64_t height,
                   const ImageLimits& limits) {
  const std::string extents = std::to_string(width) + "x" + std::to_string(height);
  if (width < 1 || height < 1) refuse(name, "claims to be a picture of " + extents + " pixels");
  if (width > limits.max_side || height > limits.max_side || width * height > limits.max_pixels)
    throw ImageTooLarge(ErrorKind::input, printable(name, 4096),
                        "claims to be a picture of " + extents + " pixels, more than the limit",
                        "shrink it first");
}

void check_scans(std::span<const std::byte> bytes, std::string_view name, std::int64_t pixels,
                 const ImageLimits& limits) {
  constexpr std::int64_t kPasses = 16;
  // Every start of a scan is the bytes FF DA; coefficients never contain them, and the few that a
  // thumbnail or a profile may hold do no harm.
  std::int64_t scans = 0;
  for (std::size_t i = 1; i < bytes.size(); ++i)
    scans += (bytes[i - 1] == std::byte{0xFF} && bytes[i] == std::byte{0xDA}) ? 1 : 0;
  if (scans > kPasses && scans * pixels > kPasses * limits.max_pixels)
    throw ImageTooLarge(
        ErrorKind::input, printable(name, 4096),
        "is a JPEG picture in " + std::to_string(scans) + " scans, more than the limit",
        "save it as baseline JPEG");
}

}  // namespace image_detail
}  // namespace kiln
