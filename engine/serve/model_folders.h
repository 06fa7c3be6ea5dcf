// Which models lie in a folder.
//
//   ROOT/model.json                      one model, version 1
//   ROOT/3/model.json                    versions of one model
//   ROOT/NAME/model.json                 several models, version 1 each
//   ROOT/NAME/3/model.json               several models with versions
//
// A version is a whole number from 1 up. In place of model.json a single .pth or .pt file of
// PyTorch will do. Folders without either, hidden ones and files are passed over: a folder is a
// model from the moment that model.json, which is written last, is there.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/file.h"

namespace kiln::serve {

struct ModelFolder {
  std::string name;  // as the folder has it, which may not do for an address; empty where the
                     // folder does not say: the card's name counts
  std::string version;
  Path path;
};

// By name, the oldest version first. Throws Error (input or io) where there is no model, or where
// models and versions lie side by side.
std::vector<ModelFolder> find_models(const Path& root);

// Changes whenever a file of a model is written or replaced.
struct FolderStamp {
  std::vector<std::array<std::int64_t, 5>> files;  // device, inode, size, mtime, ctime (ns)
  bool operator==(const FolderStamp&) const = default;
};
FolderStamp stamp_of(const Path& folder);

}  // namespace kiln::serve
