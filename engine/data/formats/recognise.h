// Which layout a folder or a file has.
#pragma once

#include "engine/data/dataset.h"

namespace kiln::formats {

using Format = DataLayout;

struct Recognised {
  Format format;
  Path place;            // the folder or the archive that holds the data
  Path test_place = {};  // of the test pictures, where that is another folder

  const Path& place_of(Split split) const {
    return split == Split::test && !test_place.empty() ? test_place : place;
  }
};

// Throws Error (input) when nothing known is there.
Recognised recognise(const Path& path);

}  // namespace kiln::formats
