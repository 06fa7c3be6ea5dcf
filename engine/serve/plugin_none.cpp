// A build without plug-ins: nothing here opens a library.
#include <stdexcept>

#include "engine/serve/plugin_loader.h"

namespace kiln::serve {

bool has_plugins() { return false; }

PluginLibrary open_plugin(const Path&) { throw std::logic_error("this build has no plug-ins"); }

}  // namespace kiln::serve
