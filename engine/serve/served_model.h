// A model at work, and the table of those that are.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/payload/pictures.h"
#include "engine/serve/batcher.h"

namespace kiln::serve {

// What clients may know of a model.
struct ModelIdentity {
  std::string name, version;  // version: a whole number
  payload::PictureShape shape;
  std::vector<std::string> classes;

  // Whether a request that was read for the one can be answered by the other.
  bool answers_like(const ModelIdentity& other) const {
    return shape == other.shape && classes.size() == other.classes.size();
  }
};

struct ServedModel {
  std::shared_ptr<const ModelIdentity> identity;
  std::shared_ptr<BatcherMetrics> metrics;  // of all that bear this name, one after another
  std::unique_ptr<Batcher> batcher;
  std::chrono::milliseconds request_time{30'000};  // until a request that waits is refused
};

// Whole numbers without leading zeros, the larger the newer.
struct OlderVersion {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  }
};

// How often models were loaded, since the server began.
struct LoadCounts {
  Counter loaded, failed;
};

// By name and version. Every function may be called from any thread; what find() returned stays
// whole while the table changes.
class ModelTable {
 public:
  using Entry = std::shared_ptr<const ServedModel>;

  // The newest version of the model `name`; an empty name means the only one there is. nullptr
  // where there is none.
  Entry find(std::string_view name) const;
  Entry find(std::string_view name, std::string_view version) const;
  // Of a model, the oldest first.
  std::vector<std::string> versions(std::string_view name) const;
  // By name, the oldest version first.
  std::vector<Entry> all() const;

  // Puts a model in the place of the one with its name and version and returns that one. It still
  // computes what waits for it; whoever drops it last must be no thread of its own batcher.
  Entry put(Entry model);
  Entry remove(std::string_view name, std::string_view version);

  LoadCounts& loads() { return loads_; }
  const LoadCounts& loads() const { return loads_; }

 private:
  using Versions = std::map<std::string, Entry, OlderVersion>;

  mutable std::mutex mutex_;
  std::map<std::string, Versions, std::less<>> models_;  // none of them empty
  LoadCounts loads_;
};

}  // namespace kiln::serve
