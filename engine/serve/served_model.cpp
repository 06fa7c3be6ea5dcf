#include "engine/serve/served_model.h"

#include <utility>

namespace kiln::serve {

ModelTable::Entry ModelTable::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  if (name.empty()) return models_.size() == 1 ? models_.begin()->second : nullptr;
  const auto found = models_.find(name);
  return found == models_.end() ? nullptr : found->second;
}

std::vector<ModelTable::Entry> ModelTable::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<Entry> list;
  for (const auto& [name, model] : models_) list.push_back(model);
  return list;
}

ModelTable::Entry ModelTable::put(Entry model) {
  const std::lock_guard lock(mutex_);
  return std::exchange(models_[model->identity->name], std::move(model));
}

ModelTable::Entry ModelTable::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = models_.find(name);
  if (found == models_.end()) return nullptr;
  Entry model = std::move(found->second);
  models_.erase(found);
  return model;
}

}  // namespace kiln::serve
