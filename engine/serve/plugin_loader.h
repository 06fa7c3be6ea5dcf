// The plug-in that a model's card names.
#pragma once

#include <memory>
#include <string>

#include "engine/serve/hooks.h"

namespace kiln::serve {

// The library `name` of a model's directory; a link may lead to it, out of the directory it may
// not. Throws Error: unsupported where `allow` is false, where this build has no plug-ins or where
// the library is not of this kiln's kind; input or io where there is none.
std::shared_ptr<const Hooks> load_plugin(const Path& directory, const std::string& name,
                                         const ModelIdentity& identity, bool allow);

// Does this build open libraries? A build without (plugin_none.cpp) has no way to.
bool has_plugins();
// The hooks of the library `name` in `directory`, which stays in memory as long as they live.
// Throws Error naming it, also where it leads out of the folder.
std::shared_ptr<const Hooks> open_plugin(const Path& directory, const std::string& name,
                                         const ModelIdentity& identity);

}  // namespace kiln::serve
