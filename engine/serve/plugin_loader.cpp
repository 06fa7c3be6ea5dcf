#include "engine/serve/plugin_loader.h"

#include <algorithm>

#include "engine/core/error.h"
#include "models/model_directory.h"

namespace kiln::serve {
namespace {

namespace fs = std::filesystem;

// The file itself, all links followed.
Path file_of_plugin(const Path& directory, const std::string& name) {
  std::error_code failed;
  const Path root = fs::canonical(directory, failed);
  Path file = failed ? Path() : fs::canonical(directory / name, failed);
  const std::string thing = (directory / name).string();
  if (failed)
    throw Error(ErrorKind::input, thing, "cannot be opened: " + failed.message(),
                "model.json names it as the model's plug-in; put it there");
  if (std::ranges::mismatch(root, file).in1 != root.end())
    throw Error(ErrorKind::input, thing, "leads out of the model's directory",
                "put the plug-in itself there");
  if (!fs::is_regular_file(file, failed)) throw Error(ErrorKind::input, thing, "is not a file");
  return file;
}

}  // namespace

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
  return open_plugin(file_of_plugin(directory, name), directory, identity);
}

}  // namespace kiln::serve
