// The height and width of a picture.
#pragma once

#include <cstdint>

namespace kiln {

struct ImageSize {
  std::int64_t height = 0;
  std::int64_t width = 0;
  bool operator==(const ImageSize&) const = default;
};

}  // namespace kiln
