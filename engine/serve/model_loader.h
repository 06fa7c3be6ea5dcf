// From a folder to a model at work: read, held to the digests of its card, held to its golden
// sample, warmed. What load() returns can answer the next request as fast as the thousandth.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/log.h"
#include "engine/infer/model.h"
#include "engine/serve/hooks.h"
#include "engine/serve/model_folders.h"
#include "engine/serve/served_model.h"

namespace kiln::serve {

class SessionExecutor;

// When the pictures of a turn of the loop are computed by the loop.
enum class Inlining {
  automatic,  // where they take less time than two changes of thread, and the others, are worth
  on,
  off,
};

struct LoadOptions {
  Device device;
  int executor_count = 1;  // threads of a model on the CPU; another device has one
  Inlining inlining = Inlining::automatic;
  bool any_name = false;  // a folder may have a name that does not do for an address
  std::string name;       // of a model whose folder does not name it; empty: the card's name
  std::shared_ptr<const Hooks> hooks;  // of models whose cards name no plug-in; empty: none
  bool allow_plugins = false;
  // What the operator says, over what the model's card says, over the default.
  std::optional<std::int64_t> max_batch;                  // 32
  std::optional<std::chrono::microseconds> max_delay;     // 0
  std::optional<std::int64_t> queue_pictures;             // 256
  std::optional<std::chrono::milliseconds> request_time;  // 30 s
};

class ModelLoader {
 public:
  // `log` must outlive the loader and its models.
  ModelLoader(const LoadOptions& options, Log& log) : options_(options), log_(log) {}

  // Throws Error (input, io or unsupported). By one thread at a time.
  ModelTable::Entry load(const ModelFolder& folder);
  // Sets back what is counted for models of this name: another of the name begins at zero. By the
  // same thread.
  void forget(const std::string& name);

 private:
  std::shared_ptr<BatcherMetrics> metrics_of(const ModelIdentity& identity, std::int64_t max_batch);
  std::shared_ptr<const Hooks> hooks_of(const ModelFolder& folder, const ModelCard& card,
                                        const ModelIdentity& identity);
  std::vector<std::unique_ptr<Executor>> make_executors(
      const std::shared_ptr<const infer::Model>& model, const ServedModel& served,
      const ModelFolder& folder, std::int64_t max_batch);
  std::unique_ptr<SessionExecutor> inline_executor(std::shared_ptr<const infer::Model> model,
                                                   const ServedModel& served,
                                                   std::int64_t max_batch,
                                                   BatcherOptions& batching);
  std::string name_of(const ModelFolder& folder, const ModelCard& card) const;

  const LoadOptions options_;
  Log& log_;
  // By name and version: a model that is loaded again counts on.
  std::map<std::pair<std::string, std::string>, std::shared_ptr<BatcherMetrics>> metrics_;
};

}  // namespace kiln::serve
