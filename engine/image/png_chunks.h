// The chunks of a PNG file, before libpng sees them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace kiln::image_detail {

// The file without the chunks that no pixel depends on: texts, above all, which libpng unpacks
// to 8 MB each and up to a thousand of, before anybody can ask for the picture's extents. `bytes`
// itself where there is nothing to leave out, else a copy in `kept`. Damage is left to libpng.
std::span<const std::byte> without_other_chunks(std::span<const std::byte> bytes,
                                                std::vector<std::byte>& kept);

}  // namespace kiln::image_detail
