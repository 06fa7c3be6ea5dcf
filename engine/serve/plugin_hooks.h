// The table of a plug-in (engine/serve/plugin_api.h) as hooks.
#pragma once

#include <memory>
#include <string>

#include "engine/serve/hooks.h"
#include "engine/serve/plugin_api.h"

namespace kiln::serve {

inline constexpr std::uint64_t kPluginReplyBytes = std::uint64_t{64} << 20;

// `library` keeps the table and its code in memory; `thing` names the plug-in in errors. Calls the
// plug-in's model_fn. Throws Error: unsupported for a table of another version or without sense,
// input where model_fn fails.
std::shared_ptr<const Hooks> make_plugin_hooks(const KilnHooks* table,
                                               std::shared_ptr<const void> library,
                                               const std::string& thing, const Path& directory,
                                               const ModelIdentity& identity);

}  // namespace kiln::serve
