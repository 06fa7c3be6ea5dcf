// Keeps the table of models equal to what lies in a folder.
//
// A change counts when the folder has been still from one look to the next, so that a copy under
// way is not read; where model.json says what the files are, half a copy is refused anyway. A model
// that cannot be loaded leaves the one in its place at work, and is tried again when its files have
// changed again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "engine/serve/model_folders.h"
#include "engine/serve/model_loader.h"

namespace kiln::serve {

enum class VersionPolicy { all, latest };

class ModelKeeper {
 public:
  // All of these must outlive the keeper.
  ModelKeeper(const Path& root, VersionPolicy policy, ModelLoader& loader, ModelTable& table,
              Log& log)
      : root_(root), policy_(policy), loader_(loader), table_(table), log_(log) {}

  // Loads all that is there; throws Error at the first model that is bad. `go_on` is asked before
  // each; false ends the loading.
  template <class GoOn>
  void load_all(const GoOn& go_on) {
    for (const ModelFolder& folder : wanted())
      if (go_on()) load(folder);
  }

  enum class Look {
    patient,  // now and then: what has changed and is still
    at_once,  // when asked: what has changed, and what failed before
  };
  // Loads what is new or has changed and takes away what is gone; never the last model. What fails
  // is logged and counted.
  void look(Look how);

 private:
  using Key = std::pair<std::string, std::string>;  // name and version, as the folder has them
  struct Known {
    FolderStamp seen;                    // at the last look
    std::optional<FolderStamp> settled;  // loaded or refused
    std::string name;                    // in the table; empty where it never was
    bool missing = false;                // at the last look
  };

  std::vector<ModelFolder> wanted() const;
  void load(const ModelFolder& folder);
  bool due(Known& known, const ModelFolder& folder, bool is_new, Look how) const;
  void try_load(const ModelFolder& folder);
  void take_away(const std::vector<ModelFolder>& there, Look how);

  const Path root_;
  const VersionPolicy policy_;
  ModelLoader& loader_;
  ModelTable& table_;
  Log& log_;
  std::map<Key, Known> known_;
  std::string last_fault_;  // of the folder itself, told once
};

}  // namespace kiln::serve
