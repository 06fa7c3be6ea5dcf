// A build without plug-ins: nothing here opens a library.
#include <stdexcept>

#include "engine/serve/plugin_loader.h"

namespace kiln::serve {

bool has_plugins() { return false; }

std::shared_ptr<const Hooks> open_plugin(const Path&, const std::string&, const ModelIdentity&) {
  throw std::logic_error("this build has no plug-ins");
}

}  // namespace kiln::serve
