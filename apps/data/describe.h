// What `kiln data info` prints.
#pragma once

#include <string>

#include "engine/data/dataset.h"

namespace kiln {

// Name, origin, sizes, a table of the classes with their counts in both splits, mean and deviation
// of the training pictures, checksums; ends with a newline.
std::string describe_dataset(const DatasetPair& data, ThreadPool& pool);

}  // namespace kiln
