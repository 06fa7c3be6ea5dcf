// Folders of pictures: train/<class>/<any name>.{jpg,jpeg,png} and test/<class>/... (or the other
// names of split_folder), or <class>/... alone. Classes are numbered as classes.txt beside them
// lists them, without it by the order of their names (bytewise); samples by class, then name.
#pragma once

#include "engine/data/dataset.h"

namespace kiln::formats {

bool is_image_folder(const Path& folder);

// Without a test folder the test split is the training split, with a warning. Other files in the
// folders of classes are skipped, with a warning that counts them.
Dataset load_image_folder(const Path& path, const Path& folder, Split split, Log& log,
                          ThreadPool& pool, const LoadOptions& options);

}  // namespace kiln::formats
