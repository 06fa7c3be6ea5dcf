// The chunks of a PNG file, before libpng sees them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace kiln::image_detail {

// The file up to its last whole chunk, because libpng takes as much memory as a text says that it
// is long; and without the chunks that no pixel depends on: texts, above all, which libpng unpacks
// to 8 MB each and up to a thousand of, before anybody can ask for the picture's extents. A part of
// `bytes` where nothing is left out between others, else a copy in `kept`. That something is
// missing is left to libpng to find.
std::span<const std::byte> without_other_chunks(std::span<const std::byte> bytes,
                                                std::vector<std::byte>& kept);

}  // namespace kiln::image_detail
