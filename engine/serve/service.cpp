#include "engine/serve/service.h"

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "engine/payload/encode.h"
#include "engine/payload/inference_protocol.h"
#include "engine/payload/media_type.h"

namespace kiln::serve {
namespace {

using http::error_reply;
using http::HttpReply;
using http::HttpRequest;

constexpr std::string_view kModels = "/v2/models/";

HttpReply json_reply(int status, std::string body) {
  return {.status = status, .body = std::move(body), .fields = {}};
}

HttpReply wrong_method(std::string_view allowed) {
  HttpReply reply = error_reply(405, "this path takes " + std::string(allowed));
  reply.fields.push_back({"Allow", std::string(allowed)});
  return reply;
}

bool is_get(const HttpRequest& request) {
  return request.header.method == "GET" || request.header.method == "HEAD";
}

// `make` for GET and HEAD, 405 for the rest.
template <class Make>
HttpReply only_get(const HttpRequest& request, const Make& make) {
  return is_get(request) ? make() : wrong_method("GET, HEAD");
}

Endpoint endpoint_of(std::string_view path) {
  if (path == "/invocations") return Endpoint::invocations;
  return path.starts_with(kModels) && path.ends_with("/infer") ? Endpoint::infer : Endpoint::other;
}

// Gives the outcome of a job to the connection that waits for it.
class DeferredJob final : public Waiter {
 public:
  DeferredJob(std::shared_ptr<Job> job, std::shared_ptr<http::DeferredReply> deferred)
      : job_(std::move(job)), deferred_(std::move(deferred)) {}

  bool cancelled() const override { return deferred_->cancelled(); }
  void answer(std::span<const float> outputs) override {
    deferred_->complete(job_->answer(outputs));
  }
  void refuse(Refused why) override {
    deferred_->complete(why == Refused::late
                            ? job_->fail(504, "the time for this request is over; try again later")
                            : job_->fail(500, "the model failed on this request"));
  }

 private:
  const std::shared_ptr<Job> job_;
  const std::shared_ptr<http::DeferredReply> deferred_;
};

void write_model(MetricsPage& page, const std::vector<ModelTable::Entry>& models) {
  using Kind = MetricsPage::Kind;
  using Label = MetricsPage::Label;
  const auto each = [&](std::string_view name, Kind kind, std::string_view help,
                        const auto& write) {
    page.family(name, kind, help);
    for (const ModelTable::Entry& model : models)
      write(*model, Label{"model", model->identity->name},
            Label{"version", model->identity->version});
  };
  each("kiln_model_info", Kind::gauge, "1 for each model at work.",
       [&](const ServedModel&, const Label& name, const Label& version) {
         page.sample(std::uint64_t{1}, {name, version});
       });
  each("kiln_queue_pictures", Kind::gauge, "Pictures that no batch has taken yet.",
       [&](const ServedModel& m, const Label& name, const Label& version) {
         page.sample(static_cast<std::uint64_t>(m.batcher->waiting_pictures()), {name, version});
       });
  each("kiln_pictures_total", Kind::counter, "Pictures computed.",
       [&](const ServedModel& m, const Label& name, const Label& version) {
         page.sample(m.metrics->pictures.value(), {name, version});
       });
  each("kiln_rejected_total", Kind::counter, "Requests that got no result, by reason.",
       [&](const ServedModel& m, const Label& name, const Label& version) {
         page.sample(m.metrics->full.value(), {name, version, {"reason", "queue_full"}});
         page.sample(m.metrics->late.value(), {name, version, {"reason", "deadline"}});
         page.sample(m.metrics->cancelled.value(), {name, version, {"reason", "client_gone"}});
         page.sample(m.metrics->failed.value(), {name, version, {"reason", "failure"}});
       });
  each("kiln_batch_pictures", Kind::histogram, "Pictures of a batch.",
       [&](const ServedModel& m, const Label& name, const Label& version) {
         page.sample(m.metrics->batch_pictures, {name, version});
       });
  each("kiln_queue_seconds", Kind::histogram, "From a request's decoding to its first batch.",
       [&](const ServedModel& m, const Label& name, const Label& version) {
         page.sample(m.metrics->queue_seconds, {name, version});
       });
  each("kiln_compute_seconds", Kind::histogram, "Of a batch in the model.",
       [&](const ServedModel& m, const Label& name, const Label& version) {
         page.sample(m.metrics->compute_seconds, {name, version});
       });
}

}  // namespace

Service::Service(const ModelTable& models, const ServiceOptions& options)
    : models_(models),
      options_(options),
      metrics_(std::make_shared<RequestMetrics>()),
      workers_(options.worker_count, options.waiting_bodies) {}

std::optional<HttpReply> Service::handle(HttpRequest& request) {
  const Clock::time_point begin = Clock::now();
  const std::string_view target = request.header.target;
  const std::string_view path = target.substr(0, target.find('?'));
  // What start() takes counts itself.
  bool counted = false;
  Reply reply = route(request, path, counted);
  if (!reply || counted) return reply;
  metrics_->count(endpoint_of(path), reply->status, Clock::now() - begin);
  if (std::string id = request_id_of(request.header); !id.empty())
    reply->fields.push_back({"X-Request-Id", std::move(id)});
  return reply;
}

Service::Reply Service::route(HttpRequest& request, std::string_view path, bool& counted) {
  if (path == "/ping")
    return only_get(request, [&] {
      return ready() ? json_reply(200, "{}\n") : error_reply(503, "the server is not ready");
    });
  if (path == "/invocations") return invoke(request, counted);
  if (path == "/metrics") return only_get(request, [&] { return metrics_page(); });
  if (path == "/v2" || path == "/v2/")
    return only_get(request,
                    [&] { return json_reply(200, payload::server_metadata(options_.version)); });
  if (path == "/v2/health/live")
    return only_get(request, [] { return json_reply(200, payload::live_reply(true)); });
  if (path == "/v2/health/ready")
    return only_get(request,
                    [&] { return json_reply(ready() ? 200 : 503, payload::ready_reply(ready())); });
  if (path.starts_with(kModels)) return route_model(request, path.substr(kModels.size()), counted);
  return error_reply(404, "there is nothing at this path");
}

// `rest`: M[/versions/V][/ready|/infer].
Service::Reply Service::route_model(HttpRequest& request, std::string_view rest, bool& counted) {
  const auto next = [&rest] {
    const std::string_view word = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    return word;
  };
  const std::string_view name = next();
  std::string_view word = next();
  ModelTable::Entry model = name.empty() ? nullptr : models_.find(name);
  if (model == nullptr) return error_reply(404, "there is no model of this name");
  if (word == "versions") {
    model = models_.find(name, next());
    if (model == nullptr) return error_reply(404, "there is no such version of this model");
    word = next();
  }
  if (!rest.empty()) return error_reply(404, "there is nothing at this path");
  if (word.empty())
    return only_get(request, [&] {
      return json_reply(
          200, payload::model_metadata(facts_of(*model->identity), models_.versions(name)));
    });
  if (word == "ready")
    return only_get(request, [&] {
      return json_reply(ready() ? 200 : 503, payload::model_ready_reply(name, ready()));
    });
  if (word != "infer") return error_reply(404, "there is nothing at this path");
  if (request.header.method != "POST") return wrong_method("POST");
  counted = true;
  return start(request, model, make_inference(request, model->identity, options_.limits, metrics_));
}

Service::Reply Service::invoke(HttpRequest& request, bool& counted) {
  if (request.header.method != "POST") return wrong_method("POST");
  const ModelTable::Entry model =
      models_.find(request.header.field("X-Amzn-SageMaker-Target-Model"));
  if (model == nullptr) {
    if (models_.all().empty()) return error_reply(503, "no model is loaded");
    return error_reply(404, "name one of the models in X-Amzn-SageMaker-Target-Model");
  }
  std::string_view accept = request.header.field("Accept");
  if (accept.empty() || accept == "*/*") accept = options_.default_accept;
  const auto type = payload::choose_reply_type(accept);
  if (!type)
    return error_reply(
        406,
        "Accept names no type that is written here; use application/json, application/x-npy "
        "or text/csv");
  counted = true;
  return start(request, model,
               make_invocation(request, model->identity, *type, options_.limits, metrics_));
}

// A picture may be small and yet take long to decode.
bool Service::cheap(const HttpRequest& request) const {
  if (request.body.size() > options_.inline_body_bytes) return false;
  const auto type = payload::parse_media_type(request.header.field("Content-Type"));
  return !type || (type->type != "image" && !type->is("application", "x-image"));
}

Service::Reply Service::start(HttpRequest& request, const ModelTable::Entry& model,
                              std::shared_ptr<Job> job) {
  if (!cheap(request)) {
    job->keep_body(std::move(request.body));
    const auto deferred = request.defer();
    const bool added = workers_.add([this, model, job, deferred] {
      try {
        submit(model, job, job->decode_kept(), deferred);
      } catch (const payload::Refusal& refusal) {
        deferred->complete(job->fail(refusal.status(), refusal.what()));
      } catch (const std::exception&) {
        deferred->complete(job->fail(500, "the request could not be decoded"));
      }
    });
    if (!added) deferred->complete(job->fail(options_.overload_status, "too many requests wait"));
    return std::nullopt;
  }
  try {
    payload::Pictures pictures = job->decode(request.body);
    Reply reply;
    const Inline outcome = model->batcher->try_inline(
        pictures, [&](std::span<const float> outputs) { reply = job->answer(outputs); });
    if (outcome == Inline::done) return reply;
    if (outcome == Inline::failed) return job->fail(500, "the model failed on this request");
    submit(model, job, std::move(pictures), request.defer());
    return std::nullopt;
  } catch (const payload::Refusal& refusal) {
    return job->fail(refusal.status(), refusal.what());
  }
}

// A model that was replaced since it was found takes nothing more; the one in its place does.
void Service::submit(const ModelTable::Entry& found, const std::shared_ptr<Job>& job,
                     payload::Pictures pictures,
                     const std::shared_ptr<http::DeferredReply>& deferred) {
  Work work{.pictures = std::move(pictures),
            .deadline = Clock::now() + found->request_time,
            .waiter = std::make_unique<DeferredJob>(job, deferred)};
  ModelTable::Entry model = found;
  Admission admission = model->batcher->submit(std::move(work));
  while (admission == Admission::stopping) {
    const ModelIdentity& identity = *model->identity;
    ModelTable::Entry next = models_.find(identity.name, identity.version);
    if (next == nullptr) next = models_.find(identity.name);  // the version was taken away
    if (next == nullptr || next == model || !next->identity->answers_like(*found->identity)) break;
    model = std::move(next);
    admission = model->batcher->submit(std::move(work));  // NOLINT(bugprone-use-after-move)
  }
  if (admission == Admission::full)
    deferred->complete(job->fail(options_.overload_status, "too many requests wait"));
  if (admission == Admission::stopping)
    deferred->complete(job->fail(503, "the model is being replaced or the server stops"));
}

HttpReply Service::metrics_page() const {
  MetricsPage page;
  page.family("kiln_build_info", MetricsPage::Kind::gauge, "1, with the program's version.");
  page.sample(std::uint64_t{1}, {{"version", options_.version}});
  page.family("kiln_ready", MetricsPage::Kind::gauge, "1 while /ping says 200.");
  page.sample(std::uint64_t{ready() ? 1u : 0u});
  metrics_->write(page);
  page.family("kiln_model_loads_total", MetricsPage::Kind::counter,
              "Models loaded, at the start and again, by outcome.");
  page.sample(models_.loads().loaded.value(), {{"outcome", "loaded"}});
  page.sample(models_.loads().failed.value(), {{"outcome", "failed"}});
  write_model(page, models_.all());
  return {
      .content_type = std::string(MetricsPage::kContentType), .body = page.text(), .fields = {}};
}

}  // namespace kiln::serve
