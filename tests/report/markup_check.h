// A small checker of generated HTML: tags nest and close, attributes are quoted, ids are unique,
// links inside the page lead somewhere, nothing is loaded and no script runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// The faults found, in words; empty for a sound page.
std::vector<std::string> markup_faults(std::string_view html);

}  // namespace kiln
