// IDX files (http://yann.lecun.com/exdb/mnist): two zero bytes, 0x08 for bytes, the rank, then that
// many big-endian 32-bit extents, then the bytes. Plain or gzip.
//
// Pictures have rank 3 [n, h, w] or, an extension for colour, rank 4 [n, h, w, c]. Names of the
// classes stand in classes.txt, one a line; without it they are the numbers.
#pragma once

#include <optional>

#include "engine/data/dataset.h"
#include "engine/data/formats/gzip.h"

namespace kiln::formats {

struct IdxFiles {
  Path images;
  Path labels;
};

// The files of a split in `folder`, or in its training/ or testing/; empty when there are none.
std::optional<IdxFiles> find_idx(const Path& folder, Split split);
bool is_idx(const Path& folder);
Dataset load_idx(const Path& path, const Path& folder, Split split);

// [n, h, w, c] pictures out of one source, for load_idx and for tests of hostile bytes.
struct IdxImages {
  std::int64_t count = 0, height = 0, width = 0, channels = 0;
  Buffer pixels = {};
};
IdxImages read_idx_images(const Path& path, ByteSource& source);
std::vector<std::int32_t> read_idx_labels(const Path& path, ByteSource& source);

}  // namespace kiln::formats
