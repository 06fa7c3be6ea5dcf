// What a build has where KILN_SERVE_HOOKS names no file.
#include "engine/serve/built_in_hooks.h"

namespace kiln {

std::shared_ptr<const serve::Hooks> built_in_hooks() { return nullptr; }

}  // namespace kiln
