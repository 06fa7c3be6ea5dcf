#include "engine/serve/plugin_loader.h"

#include "engine/core/error.h"
#include "models/model_directory.h"

namespace kiln::serve {
std::shared_ptr<const Hooks> load_plugin(const Path& directory, const std::string& name,
                                         const ModelIdentity& identity, bool allow) {
  const std::string card = (directory / kCardFile).string();
  const std::string names = "names the plug-in " + printable(name);
  if (!has_plugins())
    throw Error(
        ErrorKind::unsupported, card, names + ", and this build of kiln has no plug-ins",
        "serve it with a build that has them (KILN_SERVE_PLUGINS=ON, not linked statically)");
  if (!allow)
    throw Error(ErrorKind::unsupported, card, names,
                "start with --allow-plugins to load it; it runs with the server's rights");
  return open_plugin(directory, name, identity);
}

}  // namespace kiln::serve
