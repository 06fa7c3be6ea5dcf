// Service: what a server answers. Routes, media types and statuses; it sees requests and replies,
// never a socket.
//
//   GET  /ping                      200 while every model is ready, else 503
//   POST /invocations               pictures in, results out (SageMaker)
//   GET  /v2, /v2/health/live, /v2/health/ready, /v2/models/M[/versions/V][/ready]
//   POST /v2/models/M[/versions/V]/infer      the Open Inference Protocol
//   GET  /metrics                   Prometheus
//
// Nothing here waits: small bodies are decoded and lone pictures computed by the caller, which is
// the loop's thread; the rest goes to workers and to the model's batcher, which complete the reply.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/http/http_server.h"
#include "engine/payload/decode.h"
#include "engine/serve/job.h"
#include "engine/serve/request_metrics.h"
#include "engine/serve/served_model.h"
#include "engine/serve/workers.h"

namespace kiln::serve {

struct ServiceOptions {
  std::string version;  // of the program
  std::string default_accept = "application/json";
  int overload_status = 429;                // or 503
  std::size_t inline_body_bytes = 1 << 15;  // larger bodies, and encoded pictures, go to workers
  int worker_count = 1;
  std::size_t waiting_bodies = 64;
  payload::DecodeLimits limits;
};

class Service {
 public:
  // `models` must outlive the service, and the batchers of its models must be stopped before the
  // service goes.
  Service(const ModelTable& models, const ServiceOptions& options);

  std::optional<http::HttpReply> handle(http::HttpRequest& request);
  // Whether /ping says 200: not before the models are loaded, nor while the server drains.
  void set_ready(bool ready) { ready_.store(ready, std::memory_order_relaxed); }

 private:
  using Reply = std::optional<http::HttpReply>;

  Reply route(http::HttpRequest& request, std::string_view path, bool& counted);
  Reply route_model(http::HttpRequest& request, std::string_view rest, bool& counted);
  Reply invoke(http::HttpRequest& request, bool& counted);
  Reply start(http::HttpRequest& request, const ModelTable::Entry& model, std::shared_ptr<Job> job);
  void submit(const ModelTable::Entry& model, const std::shared_ptr<Job>& job,
              payload::Pictures pictures, const std::shared_ptr<http::DeferredReply>& deferred);
  bool cheap(const http::HttpRequest& request) const;
  http::HttpReply metrics_page() const;
  bool ready() const { return ready_.load(std::memory_order_relaxed); }

  const ModelTable& models_;
  const ServiceOptions options_;
  const std::shared_ptr<RequestMetrics> metrics_;
  std::atomic<bool> ready_ = false;
  Workers workers_;
};

}  // namespace kiln::serve
