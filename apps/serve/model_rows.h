// What the cards of models say about settings that the operator leaves open.
#pragma once

#include <vector>

#include "apps/serve/settings.h"

namespace kiln {

// A row for each such setting of each model below the root, such as "max-batch of lenet/1". Throws
// Error (input or io) where the models or a card cannot be read.
std::vector<ServeSettings::Row> model_rows(const ServeSettings& settings);

}  // namespace kiln
