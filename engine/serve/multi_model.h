// SageMaker's multi-model endpoints: the platform loads and unloads models while the server runs.
//
//   POST   /models                  {"model_name": N, "url": folder}: 200; 409 where N is loaded,
//   507
//                                   where no room is left (the platform then unloads another)
//   GET    /models?limit&next_page_token
//   GET    /models/N                200 or 404
//   DELETE /models/N                200, when the memory is free, or 404
//   POST   /models/N/invoke         is the service's; invoked_model() reads its path
//
// A name is any text; in a path it is percent-encoded. A url is a folder below `root`: no other
// part of the file system can be asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "engine/http/http_server.h"
#include "engine/serve/model_loader.h"
#include "engine/serve/process_memory.h"
#include "engine/serve/served_model.h"
#include "engine/serve/workers.h"

namespace kiln::serve {

struct LoadRequest;

struct MultiModelOptions {
  Path root;
  std::size_t model_count = 0;     // at once; 0: any number
  std::uint64_t memory_bytes = 0;  // that the process may hold when a model is loaded; 0: any
  std::function<std::uint64_t()> resident_bytes = serve::resident_bytes;
};

class MultiModel {
 public:
  // All of these must outlive it. The loader must take any name (LoadOptions::any_name), and is
  // used by a thread of this class alone.
  MultiModel(ModelTable& table, ModelLoader& loader, const MultiModelOptions& options, Log& log);
  MultiModel(const MultiModel&) = delete;
  MultiModel& operator=(const MultiModel&) = delete;

  static bool owns(std::string_view path) { return path == "/models" || path.starts_with(kBelow); }
  // The text in place of N, still encoded, of a path /models/N/invoke.
  static std::optional<std::string_view> invoked_model(std::string_view path);

  // Answers a path that it owns and that is no /invoke, or defers. By the loop's thread.
  std::optional<http::HttpReply> handle(http::HttpRequest& request);

 private:
  using Deferred = std::shared_ptr<http::DeferredReply>;

  static constexpr std::string_view kBelow = "/models/";

  http::HttpReply list(std::string_view query) const;
  http::HttpReply describe(const std::string& name) const;
  std::optional<http::HttpReply> later(http::HttpRequest& request,
                                       std::function<http::HttpReply()> work);
  http::HttpReply load(const LoadRequest& asked);
  http::HttpReply load_from(const LoadRequest& asked, const Path& folder);
  http::HttpReply unload(const std::string& name);
  // Why there is no room for `more` bytes, or nothing.
  std::optional<std::string> shortage(std::uint64_t more) const;

  ModelTable& table_;
  ModelLoader& loader_;
  const MultiModelOptions options_;
  Log& log_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> urls_;  // by name, of what is loaded
  Workers thread_;  // one, so that what is asked is done in its order
};

}  // namespace kiln::serve
