// The plug-in that a model's card names.
#pragma once

#include <memory>
#include <string>

#include "engine/serve/hooks.h"
#include "engine/serve/plugin_api.h"

namespace kiln::serve {

// The library `name` of a model's directory; a link may lead to it, out of the directory it may
// not. Throws Error: unsupported where `allow` is false, where this build has no plug-ins or where
// the library is not of this kiln's kind; input or io where there is none.
std::shared_ptr<const Hooks> load_plugin(const Path& directory, const std::string& name,
                                         const ModelIdentity& identity, bool allow);

// A library in memory, for as long as `keep` lives.
struct PluginLibrary {
  std::shared_ptr<const void> keep;
  const KilnHooks* table = nullptr;  // as kiln_hooks() returned it
};

// Does this build open libraries? A build without (plugin_none.cpp) has no way to.
bool has_plugins();
// Throws Error naming the file.
PluginLibrary open_plugin(const Path& file);

}  // namespace kiln::serve
