// Decoding by stb_image, built only where its version is 2.30 or newer.
#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "engine/image/image_codec.h"
#include "engine/image/image_codec_detail.h"

namespace kiln {
namespace {

using image_detail::refuse;

struct PixelDeleter {
  void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
};

const stbi_uc* data_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const stbi_uc*>(bytes.data());
}

// stb_image fills the missing part of a cut JPEG with grey. A whole one ends with the marker
// FF D9; some writers pad a little behind it.
bool has_end(std::span<const std::byte> bytes) {
  constexpr std::size_t kPadding = 1024;
  const auto tail = bytes.last(std::min(kPadding, bytes.size()));
  for (std::size_t i = 0; i + 1 < tail.size(); ++i)
    if (tail[i] == std::byte{0xFF} && tail[i + 1] == std::byte{0xD9}) return true;
  return false;
}

// Extents of a PNG stand at a fixed place, so that they can be told before stb_image refuses them.
void check_png_extents(std::span<const std::byte> bytes, std::string_view name,
                       const ImageLimits& limits) {
  if (bytes.size() < 24) refuse(name, "is a damaged PNG picture");
  const auto number = [bytes](std::size_t at) {
    std::int64_t value = 0;
    for (std::size_t i = at; i < at + 4; ++i) value = value << 8 | std::to_integer<int>(bytes[i]);
    return value;
  };
  image_detail::check_extents(name, number(16), number(20), limits);
}

}  // namespace

class ImageDecoder::Impl {
 public:
  explicit Impl(const ImageLimits& allowed) : limits(allowed) {}
  ImageLimits limits;
};

ImageDecoder::ImageDecoder(const ImageLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
ImageDecoder::~ImageDecoder() = default;
ImageDecoder::ImageDecoder(ImageDecoder&&) noexcept = default;
ImageDecoder& ImageDecoder::operator=(ImageDecoder&&) noexcept = default;

ImageHeader ImageDecoder::header(std::span<const std::byte> bytes, std::string_view name) {
  const bool png = image_detail::known_kind(bytes, name) == ImageKind::png;
  if (png) check_png_extents(bytes, name, impl_->limits);
  if (!png && !has_end(bytes)) refuse(name, "is a damaged JPEG picture: its end is missing");
  int width = 0, height = 0, channels = 0;
  if (bytes.size() > INT_MAX ||
      stbi_info_from_memory(data_of(bytes), static_cast<int>(bytes.size()), &width, &height,
                            &channels) == 0)
    refuse(name, std::string("is a damaged picture: ") + stbi_failure_reason());
  image_detail::check_extents(name, width, height, impl_->limits);
  if (!png) image_detail::check_scans(bytes, name, std::int64_t{width} * height, impl_->limits);
  return {width, height, channels < 3};
}

void ImageDecoder::decode(std::span<const std::byte> bytes, std::string_view name, int channels,
                          Image& out) {
  const ImageHeader info = header(bytes, name);
  out.channels = channels != 0 ? channels : info.grey ? 1 : 3;
  int stored = 0;
  const std::unique_ptr<stbi_uc, PixelDeleter> pixels(
      stbi_load_from_memory(data_of(bytes), static_cast<int>(bytes.size()), &out.width, &out.height,
                            &stored, out.channels));
  if (!pixels) refuse(name, std::string("is a damaged picture: ") + stbi_failure_reason());
  out.bytes.assign(pixels.get(), pixels.get() + static_cast<std::size_t>(out.width) *
                                                    static_cast<std::size_t>(out.height) *
                                                    static_cast<std::size_t>(out.channels));
}

std::string image_decoder_name() { return "stb_image " KILN_STB_IMAGE_VERSION; }

}  // namespace kiln
