// Service: what a server answers. Routes, media types and statuses; it sees requests and replies,
// never a socket.
//
//   GET  /ping                      200 while every model is ready, else 503
//   POST /invocations               pictures in, results out (SageMaker)
//   GET  /v2, /v2/health/live, /v2/health/ready, /v2/models/M[/versions/V][/ready]
//   POST /v2/models/M[/versions/V]/infer      the Open Inference Protocol
//   GET  /execution-parameters      what batch transform should ask for (SageMaker)
//   .... /models, /models/M         come and go (engine/serve/multi_model.h)
//   POST /models/M/invoke           as /invocations
//   GET  /metrics                   Prometheus
//   GET  /, /ui/...                 the demo page (engine/serve/ui/demo_page.h)
//
// Nothing here waits: small bodies are decoded by the caller, which is the loop's thread, and what
// they ask is gathered until finish_turn(); there the few pictures of a turn are computed at once,
// and more go to the model's batcher. Other bodies go to workers first.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/http/http_server.h"
#include "engine/payload/decode.h"
#include "engine/serve/job.h"
#include "engine/serve/multi_model.h"
#include "engine/serve/request_metrics.h"
#include "engine/serve/served_model.h"
#include "engine/serve/ui/demo_page.h"
#include "engine/serve/workers.h"

namespace kiln::serve {

struct ServiceOptions {
  std::string version;  // of the program
  std::string default_accept = "application/json";
  int overload_status = 429;                // or 503
  std::size_t inline_body_bytes = 1 << 15;  // larger bodies, and encoded pictures, go to workers
  int worker_count = 1;
  std::size_t waiting_bodies = 64;
  bool ui = true;  // the demo page
  payload::DecodeLimits limits;
  std::string execution_parameters;  // JSON of /execution-parameters; empty: no such path
  MultiModel* models = nullptr;      // the paths below /models; it must outlive the service
  // Hears of faults in requests that are not the client's, from any thread; must outlive the
  // models.
  std::function<void(std::string_view)> on_failure;
};

class Service {
 public:
  // `models` must outlive the service, and the batchers of its models must be stopped before the
  // service goes.
  Service(const ModelTable& models, const ServiceOptions& options);

  // Both by the loop's thread.
  std::optional<http::HttpReply> handle(http::HttpRequest& request);
  // Computes or submits what handle() has gathered.
  void finish_turn();
  // What the loop refused before it became a request.
  void count_refusal(int status) { metrics_->count_refusal(status); }
  // Whether /ping says 200: not before the models are loaded, nor while the server drains. No model
  // answers before the first time: the others may be missing yet, also the one that is meant where
  // none is named.
  void set_ready(bool ready) {
    ready_.store(ready, std::memory_order_relaxed);
    if (ready) loaded_.store(true, std::memory_order_relaxed);
  }

 private:
  using Reply = std::optional<http::HttpReply>;

  Reply route(http::HttpRequest& request, std::string_view path, bool& counted);
  Reply route_model(http::HttpRequest& request, std::string_view rest, bool& counted);
  Reply route_models(http::HttpRequest& request, std::string_view path, bool& counted);
  Reply invoke(http::HttpRequest& request, bool& counted);
  Reply invoke(http::HttpRequest& request, const ModelTable::Entry& model, bool& counted);
  Reply start(http::HttpRequest& request, const ModelTable::Entry& model, std::unique_ptr<Job> job);
  void start_worker(const ModelTable::Entry& model, std::unique_ptr<Job> job);
  // A request with its pictures.
  struct Arrival {
    ModelTable::Entry model;
    Work work;
  };
  void compute(std::span<Arrival> arrivals);
  void submit(const ModelTable::Entry& found, Work work);
  void process(const ModelTable::Entry& model, std::unique_ptr<Job> job);
  bool cheap(const http::HttpRequest& request, const ServedModel& model) const;
  http::HttpReply metrics_page() const;
  bool ready() const { return ready_.load(std::memory_order_relaxed); }
  bool loaded() const { return loaded_.load(std::memory_order_relaxed); }

  const ModelTable& models_;
  const ServiceOptions options_;
  const std::shared_ptr<RequestMetrics> metrics_;
  const JobSupport support_;
  const std::shared_ptr<const Hooks> default_hooks_;
  std::atomic<bool> ready_ = false, loaded_ = false;
  std::vector<Arrival> arrivals_;   // of this turn
  std::vector<Arrival> computing_;  // by finish_turn(), kept for its memory
  std::vector<Work> works_;         // by compute(), likewise
  Workers workers_;
  const DemoPage page_;
};

}  // namespace kiln::serve
