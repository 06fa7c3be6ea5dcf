// The first convolution's filters, as a picture and as characters.
#pragma once

#include <string>

#include "engine/report/png.h"
#include "engine/train/model_io.h"

namespace kiln {

// Throws Error (input) when the network has no convolution. `thing` names it in errors.
Picture filter_picture(const Model& model, const std::string& thing);

// The filters side by side, one character pair a weight (the mean over its channels): dark is
// negative, bright is positive. At most as many filters as fit into 100 columns.
std::string filter_preview(const Model& model, const std::string& thing);

}  // namespace kiln
