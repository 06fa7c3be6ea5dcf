// Decoding by libjpeg-turbo (jpeg_reader.h) and libpng (simplified interface). Both keep their own
// error state, so no jump ever crosses the frames here.
#include <png.h>

#include "engine/image/image_codec.h"
#include "engine/image/image_codec_detail.h"
#include "engine/image/jpeg_reader.h"
#include "engine/image/png_chunks.h"

#define KILN_TEXT_OF(x) #x
#define KILN_TEXT(x) KILN_TEXT_OF(x)

namespace kiln {
namespace {

using image_detail::refuse;

// Frees what libpng holds, however decoding ends.
struct PngImage : png_image {
  PngImage() : png_image{} { version = PNG_IMAGE_VERSION; }
  PngImage(const PngImage&) = delete;
  PngImage& operator=(const PngImage&) = delete;
  ~PngImage() { png_image_free(this); }
};

void drop_alpha(Image& image, int with_alpha) {
  const std::size_t pixels = image.bytes.size() / static_cast<std::size_t>(with_alpha);
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t i = 0; i < pixels; ++i)
    for (std::size_t c = 0; c < channels; ++c)
      image.bytes[i * channels + c] = image.bytes[i * static_cast<std::size_t>(with_alpha) + c];
  image.bytes.resize(pixels * channels);
}

}  // namespace

class ImageDecoder::Impl {
 public:
  explicit Impl(const ImageLimits& limits) : limits_(limits) {}

  ImageHeader jpeg_header(std::span<const std::byte> bytes, std::string_view name) {
    if (!jpeg_.read_header(bytes)) refuse_jpeg(name);
    image_detail::check_extents(name, jpeg_.width(), jpeg_.height(), limits_);
    image_detail::check_scans(bytes, name, std::int64_t{jpeg_.width()} * jpeg_.height(), limits_);
    const J_COLOR_SPACE colours = jpeg_.colours();
    if (colours == JCS_CMYK || colours == JCS_YCCK)
      refuse(name, "is a CMYK picture", "convert it to RGB");
    return {jpeg_.width(), jpeg_.height(), colours == JCS_GRAYSCALE};
  }

  void decode_jpeg(std::span<const std::byte> bytes, std::string_view name, int channels,
                   Image& out) {
    shape(out, jpeg_header(bytes, name), channels);
    out.bytes.resize(byte_count(out, out.channels));
    if (!jpeg_.read_pixels(out.channels, out.bytes.data())) refuse_jpeg(name);
  }

  ImageHeader begin_png(std::span<const std::byte> bytes, std::string_view name, PngImage& png) {
    bytes = image_detail::without_other_chunks(bytes, kept_chunks_);
    if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0)
      refuse(name, std::string("is a damaged PNG picture: ") + png.message);
    image_detail::check_extents(name, png.width, png.height, limits_);
    return {static_cast<int>(png.width), static_cast<int>(png.height),
            (png.format & PNG_FORMAT_FLAG_COLOR) == 0};
  }

  void decode_png(std::span<const std::byte> bytes, std::string_view name, int channels,
                  Image& out) {
    PngImage png;
    const ImageHeader header = begin_png(bytes, name, png);
    shape(out, header, channels);
    const bool alpha = (png.format & PNG_FORMAT_FLAG_ALPHA) != 0;
    const int stored = out.channels + (alpha ? 1 : 0);
    png.format = (out.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB) |
                 (alpha ? PNG_FORMAT_FLAG_ALPHA : 0u);
    png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // 16-bit files without gamma are not linear light
    out.bytes.resize(byte_count(out, stored));
    if (png_image_finish_read(&png, nullptr, out.bytes.data(), 0, nullptr) == 0)
      refuse(name, std::string("is a damaged PNG picture: ") + png.message);
    if (alpha) drop_alpha(out, stored);
  }

 private:
  static void shape(Image& out, const ImageHeader& header, int channels) {
    out.width = header.width;
    out.height = header.height;
    out.channels = channels != 0 ? channels : header.grey ? 1 : 3;
  }
  static std::size_t byte_count(const Image& out, int channels) {
    return static_cast<std::size_t>(out.width) * static_cast<std::size_t>(out.height) *
           static_cast<std::size_t>(channels);
  }
  [[noreturn]] void refuse_jpeg(std::string_view name) {
    refuse(name, std::string("is a damaged JPEG picture: ") + jpeg_.fault());
  }

  ImageLimits limits_;
  image_detail::JpegReader jpeg_;
  std::vector<std::byte> kept_chunks_;  // what png_image reads, from begin_png to its end
};

ImageDecoder::ImageDecoder(const ImageLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
ImageDecoder::~ImageDecoder() = default;
ImageDecoder::ImageDecoder(ImageDecoder&&) noexcept = default;
ImageDecoder& ImageDecoder::operator=(ImageDecoder&&) noexcept = default;

ImageHeader ImageDecoder::header(std::span<const std::byte> bytes, std::string_view name) {
  if (image_detail::known_kind(bytes, name) == ImageKind::jpeg)
    return impl_->jpeg_header(bytes, name);
  PngImage png;
  return impl_->begin_png(bytes, name, png);
}

void ImageDecoder::decode(std::span<const std::byte> bytes, std::string_view name, int channels,
                          Image& out) {
  if (image_detail::known_kind(bytes, name) == ImageKind::jpeg)
    impl_->decode_jpeg(bytes, name, channels, out);
  else
    impl_->decode_png(bytes, name, channels, out);
}

std::string image_decoder_name() {
  return "libjpeg-turbo " KILN_TEXT(LIBJPEG_TURBO_VERSION) " and libpng " PNG_LIBPNG_VER_STRING;
}

}  // namespace kiln
