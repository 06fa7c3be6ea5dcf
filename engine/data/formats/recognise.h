// Which layout a folder or a file has.
#pragma once

#include "engine/data/dataset.h"

namespace kiln::formats {

enum class Format { cifar_binary, cifar_python, archive, idx, image_folder };

struct Recognised {
  Format format;
  Path place;  // the folder or the archive that holds the data
};

// Throws Error (input) when nothing known is there.
Recognised recognise(const Path& path);

}  // namespace kiln::formats
