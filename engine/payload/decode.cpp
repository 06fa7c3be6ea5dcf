#include "engine/payload/decode.h"

#include "engine/core/error.h"
#include "engine/image/image_codec.h"
#include "engine/image/resize.h"
#include "engine/payload/decode_detail.h"
#include "engine/payload/json_pictures.h"
#include "engine/payload/media_type.h"

namespace kiln::payload {
namespace {

using detail::refuse;

constexpr std::string_view kTypes =
    "send image/png, image/jpeg, application/x-npy, application/json, text/csv or "
    "application/octet-stream";

std::span<const std::byte> bytes_of(std::string_view body) {
  return std::as_bytes(std::span(body.data(), body.size()));
}

[[noreturn]] void refuse_missing_type(std::string_view body) {
  const ImageKind kind = image_kind(bytes_of(body));
  if (kind == ImageKind::unknown) refuse(415, "Content-Type", "is missing", kTypes);
  const bool png = kind == ImageKind::png;
  refuse(415, "Content-Type", "is missing",
         std::string("the body begins like a picture: send ") + (png ? "image/png" : "image/jpeg"));
}

// What `values` says, if anything.
std::optional<bool> pixels_parameter(const MediaType& type) {
  const auto values = type.parameter("values");
  if (!values) return {};
  if (*values != "pixels" && *values != "network")
    refuse(415, "Content-Type", "has an unknown `values`", "say values=pixels or values=network");
  return *values == "pixels";
}

void check_bytes_are_pixels(std::optional<bool> pixels) {
  if (!pixels.value_or(true))
    refuse(415, "Content-Type", "says values=network of bytes, which are pixels always",
           "send application/x-npy of float32");
}

// `wanted` is what the media type says, or unknown where it does not tell.
void check_kind(std::string_view body, ImageKind wanted) {
  const ImageKind kind = image_kind(bytes_of(body));
  if (kind == ImageKind::unknown) refuse(400, "picture", "is neither a JPEG nor a PNG picture");
  if (wanted == ImageKind::unknown || kind == wanted) return;
  const bool png = kind == ImageKind::png;
  refuse(400, "picture", png ? "is a PNG picture" : "is a JPEG picture",
         png ? "send it as image/png" : "send it as image/jpeg");
}

Pictures decode_picture(std::string_view body, ImageKind wanted, const PictureShape& shape,
                        const DecodeLimits& limits) {
  if (shape.channels != 1 && shape.channels != 3)
    refuse(415, "Content-Type",
           "names a picture, but the network takes " + std::to_string(shape.channels) + " channels",
           "send application/x-npy");
  check_kind(body, wanted);
  Pictures pictures{.count = 1};
  try {
    const Image image =
        decode_image(bytes_of(body), "picture", static_cast<int>(shape.channels),
                     {.max_side = limits.image_side, .max_pixels = limits.image_pixels});
    pictures.bytes.resize(static_cast<std::size_t>(shape.size()));
    Resizer().resize(image, {shape.height, shape.width}, pictures.bytes.data());
  } catch (const ImageTooLarge& error) {
    throw Refusal(413, error.what());
  } catch (const Error& error) {
    throw Refusal(400, error.what());
  }
  return pictures;
}

Pictures lend_octets(std::string_view body, const PictureShape& shape, const DecodeLimits& limits) {
  constexpr std::string_view kThing = "bytes";
  const auto size = static_cast<std::size_t>(shape.size());
  if (body.size() % size != 0)
    refuse(400, kThing,
           "are " + std::to_string(body.size()) + ", no multiple of the " + std::to_string(size) +
               " of a picture",
           "send whole pictures " +
               detail::bracketed(std::array{shape.height, shape.width, shape.channels}) +
               ", or image/png and image/jpeg for pictures of any size");
  const auto count = static_cast<std::int64_t>(body.size() / size);
  detail::check_picture_count(kThing, count, limits);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(body.data());
  return {.count = count, .lent = {bytes, body.size()}};
}

}  // namespace

Pictures decode_pictures(std::string_view body, std::string_view content_type,
                         const PictureShape& shape, const DecodeLimits& limits) {
  Pictures pictures = lend_pictures(body, content_type, shape, limits);
  pictures.keep();
  return pictures;
}

Pictures lend_pictures(std::string_view body, std::string_view content_type,
                       const PictureShape& shape, const DecodeLimits& limits) {
  if (content_type.empty()) refuse_missing_type(body);
  const auto type = parse_media_type(content_type);
  if (!type) refuse(415, "Content-Type", "is malformed", kTypes);
  const std::optional<bool> pixels = pixels_parameter(*type);
  if (type->is("application", "x-npy")) return detail::decode_npy(body, shape, limits, pixels);
  if (type->is("application", "json")) return decode_json_pictures(body, shape, limits, pixels);
  if (type->is("text", "csv")) return detail::decode_csv(body, shape, limits, pixels);

  const bool any_image = type->is("application", "x-image"), png = type->is("image", "png"),
             jpeg = type->is("image", "jpeg") || type->is("image", "jpg");
  const bool octets = type->is("application", "octet-stream");
  if (!any_image && !png && !jpeg && !octets)
    refuse(415, "Content-Type", "'" + printable(type->name(), 80) + "' is not known here", kTypes);
  check_bytes_are_pixels(pixels);
  if (octets) return lend_octets(body, shape, limits);
  const ImageKind wanted = png ? ImageKind::png : jpeg ? ImageKind::jpeg : ImageKind::unknown;
  return decode_picture(body, wanted, shape, limits);
}

}  // namespace kiln::payload
