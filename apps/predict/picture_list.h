// Which picture files a command line means.
#pragma once

#include <string>
#include <vector>

#include "engine/core/file.h"

namespace kiln {

struct PictureList {
  std::vector<Path> files;
  std::vector<std::string> faults;  // one line for each argument that leads to no picture
};

// A file stands for itself, whatever its name. A folder stands for all files below it that end in
// .jpg, .jpeg or .png in either case, sorted by path (bytewise); links to folders and hidden
// entries are not followed.
PictureList find_pictures(const std::vector<std::string>& arguments);

}  // namespace kiln
