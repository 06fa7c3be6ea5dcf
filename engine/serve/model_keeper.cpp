#include "engine/serve/model_keeper.h"

#include <algorithm>
#include <exception>
#include <malloc.h>

#include "engine/core/error.h"

namespace kiln::serve {

std::vector<ModelFolder> ModelKeeper::wanted() const {
  std::vector<ModelFolder> all = find_models(root_);
  if (policy_ == VersionPolicy::all) return all;
  std::vector<ModelFolder> newest;  // the last of each name
  for (std::size_t i = 0; i < all.size(); ++i)
    if (i + 1 == all.size() || all[i + 1].name != all[i].name) newest.push_back(all[i]);
  return newest;
}

// The old model answers until the new one stands in the table; then it finishes what it has.
void ModelKeeper::load(const ModelFolder& folder) {
  Known& known = known_[{folder.name, folder.version}];
  known.seen = stamp_of(folder.path);
  known.settled = known.seen;
  ModelTable::Entry model = loader_.load(folder);
  const std::string name = model->identity->name;
  if (const ModelTable::Entry old = table_.put(std::move(model))) old->batcher->stop();
  if (!known.name.empty() && known.name != name)
    if (const ModelTable::Entry old = table_.remove(known.name, folder.version))
      old->batcher->stop();
  known.name = name;
  table_.loads().loaded.add();
  log_.info("loaded: " + name + " version " + folder.version + " from " + folder.path.string());
}

void ModelKeeper::try_load(const ModelFolder& folder) {
  std::string fault;
  try {
    load(folder);
  } catch (const std::exception& error) {
    fault = error.what();
  }
  // What the old model and the loading left is worth nothing to anyone.
  ::malloc_trim(0);
  if (fault.empty()) return;
  table_.loads().failed.add();
  const bool served = !known_[{folder.name, folder.version}].name.empty();
  log_.warning("not loaded: " + printable(fault, 4096) +
               (served ? "; the model that is loaded goes on" : ""));
}

bool ModelKeeper::due(Known& known, const ModelFolder& folder, bool is_new, Look how) const {
  const FolderStamp now = stamp_of(folder.path);
  const bool still = !is_new && known.seen == now;
  known.seen = now;
  known.missing = false;
  if (how == Look::at_once) return known.settled != now || known.name.empty();
  return still && known.settled != now;
}

void ModelKeeper::take_away(const std::vector<ModelFolder>& there, Look how) {
  for (auto at = known_.begin(); at != known_.end();) {
    const auto& [key, known] = *at;
    const bool found = std::ranges::any_of(there, [&key = key](const ModelFolder& folder) {
      return folder.name == key.first && folder.version == key.second;
    });
    if (found) {
      ++at;
      continue;
    }
    // Gone from one look to the next may be a folder that is just being exchanged.
    if (how == Look::patient && !at->second.missing) {
      at->second.missing = true;
      ++at;
      continue;
    }
    if (const ModelTable::Entry old = table_.remove(known.name, key.second)) {
      old->batcher->stop();
      log_.info("taken away: " + known.name + " version " + key.second);
    }
    at = known_.erase(at);
  }
}

// A folder may go, and descriptors may run out, between any two steps: the next look comes.
void ModelKeeper::look(Look how) {
  try {
    const std::vector<ModelFolder> there = wanted();
    for (const ModelFolder& folder : there) {
      const auto [at, is_new] = known_.try_emplace({folder.name, folder.version});
      if (due(at->second, folder, is_new, how)) try_load(folder);
    }
    take_away(there, how);
    last_fault_.clear();
  } catch (const std::exception& error) {
    if (error.what() != last_fault_)
      log_.warning(std::string(error.what()) + "; the models that are loaded go on");
    last_fault_ = error.what();
  }
}

}  // namespace kiln::serve
