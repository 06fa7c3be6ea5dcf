// The hooks that a build of the server brings along. Not defined by the library: the program is
// linked with the file that KILN_SERVE_HOOKS names, which defines it (docs/hooks.md).
#pragma once

#include <memory>

#include "engine/serve/hooks.h"

namespace kiln {

// For every model whose card names no plug-in; nullptr where there are none. Called once.
std::shared_ptr<const serve::Hooks> built_in_hooks();

}  // namespace kiln
