#include "engine/serve/served_model.h"

#include <utility>

namespace kiln::serve {

ModelTable::Entry ModelTable::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  if (name.empty()) return models_.size() == 1 ? models_.begin()->second.rbegin()->second : nullptr;
  const auto found = models_.find(name);
  return found == models_.end() ? nullptr : found->second.rbegin()->second;
}

ModelTable::Entry ModelTable::find(std::string_view name, std::string_view version) const {
  const std::lock_guard lock(mutex_);
  const auto model = models_.find(name);
  if (model == models_.end()) return nullptr;
  const auto found = model->second.find(version);
  return found == model->second.end() ? nullptr : found->second;
}

std::vector<std::string> ModelTable::versions(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> list;
  if (const auto found = models_.find(name); found != models_.end())
    for (const auto& [version, model] : found->second) list.push_back(version);
  return list;
}

std::vector<ModelTable::Entry> ModelTable::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<Entry> list;
  for (const auto& [name, versions] : models_)
    for (const auto& [version, model] : versions) list.push_back(model);
  return list;
}

ModelTable::Entry ModelTable::put(Entry model) {
  const std::lock_guard lock(mutex_);
  const ModelIdentity& identity = *model->identity;
  return std::exchange(models_[identity.name][identity.version], std::move(model));
}

ModelTable::Entry ModelTable::remove(std::string_view name, std::string_view version) {
  const std::lock_guard lock(mutex_);
  const auto model = models_.find(name);
  if (model == models_.end()) return nullptr;
  const auto found = model->second.find(version);
  if (found == model->second.end()) return nullptr;
  Entry removed = std::move(found->second);
  model->second.erase(found);
  if (model->second.empty()) models_.erase(model);
  return removed;
}

}  // namespace kiln::serve
