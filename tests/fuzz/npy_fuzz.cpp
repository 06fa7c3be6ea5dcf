#include <cstdint>
#include <cstdlib>

#include "engine/payload/decode.h"

// Any bytes as a NumPy array, for a network of the corpus's size and for one where both orders fit.
// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kiln::payload;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const PictureShape& shape : {PictureShape{3, 4, 2}, PictureShape{2, 2, 2}})
    for (const char* type : {"application/x-npy", "application/x-npy; values=pixels",
                             "application/x-npy; values=network"}) {
      try {
        const Pictures pictures = decode_pictures(body, type, shape, {.picture_count = 64});
        const auto expected = static_cast<std::size_t>(pictures.count * shape.size());
        if (pictures.count < 1 || pictures.bytes.size() + pictures.values.size() != expected)
          std::abort();
      } catch (const Refusal&) {
      }
    }
  return 0;
}
