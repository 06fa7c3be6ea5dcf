#include "engine/serve/service.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "engine/payload/encode.h"
#include "engine/payload/inference_protocol.h"
#include "engine/payload/media_type.h"
#include "engine/serve/load_request.h"
#include "engine/serve/replies.h"

namespace kiln::serve {
namespace {

using http::error_reply;
using http::HttpReply;
using http::HttpRequest;

constexpr std::string_view kModels = "/v2/models/";

HttpReply not_ready() { return error_reply(503, "the server is not ready"); }

Endpoint endpoint_of(std::string_view path) {
  if (path == "/invocations") return Endpoint::invocations;
  return path.starts_with(kModels) && path.ends_with("/infer") ? Endpoint::infer : Endpoint::other;
}

// What was lent to a request does not outlast the turn. False, and refused, where there is no
// memory.
bool keep_pictures(Work& work) {
  try {
    work.pictures.keep();
  } catch (const std::bad_alloc&) {
    work.waiter->refuse(Refused::full);
    return false;
  }
  return true;
}

void write_model(MetricsPage& page, const std::vector<ModelTable::Entry>& models) {
  using Kind = MetricsPage::Kind;
  using Label = MetricsPage::Label;
  using Write = std::function<void(const ServedModel&, const Label&, const Label&)>;
  const auto each = [&](std::string_view name, Kind kind, std::string_view help,
                        const Write& write) {
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
      support_{options.limits, metrics_, options.on_failure, options.overload_status,
               payload::choose_reply_type(options.default_accept).value_or(payload::ReplyType{})},
      default_hooks_(std::make_shared<const DefaultHooks>()),
      workers_(options.worker_count, options.waiting_bodies),
      page_(models, workers_, options.limits, options.overload_status, metrics_) {}

std::optional<HttpReply> Service::handle(HttpRequest& request) {
  const std::string_view target = request.header.target;
  const std::string_view path = target.substr(0, target.find('?'));
  // What start() takes counts itself.
  bool counted = false;
  Reply reply = route(request, path, counted);
  if (!reply || counted) return reply;
  metrics_->count(endpoint_of(path), reply->status, Clock::now() - request.arrived);
  if (std::string id = request_id_of(request.header); !id.empty())
    reply->fields.push_back({"X-Request-Id", std::move(id)});
  return reply;
}

Service::Reply Service::route(HttpRequest& request, std::string_view path, bool& counted) {
  if (path == "/ping")
    return only_get(request, [&] { return ready() ? json_reply(200, "{}\n") : not_ready(); });
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
  if (path == "/execution-parameters" && !options_.execution_parameters.empty())
    return only_get(request, [&] { return json_reply(200, options_.execution_parameters); });
  if (options_.models != nullptr && MultiModel::owns(path))
    return route_models(request, path, counted);
  if (options_.ui && DemoPage::owns(path)) return page_.handle(request, path);
  return error_reply(404, "there is nothing at this path");
}

// `rest`: M[/versions/V][/ready|/infer].
Service::Reply Service::route_model(HttpRequest& request, std::string_view rest, bool& counted) {
  if (!loaded()) return not_ready();
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
  return start(request, model, make_inference(request, model->identity, support_));
}

Service::Reply Service::route_models(HttpRequest& request, std::string_view path, bool& counted) {
  const auto invoked = MultiModel::invoked_model(path);
  if (!invoked) return options_.models->handle(request);
  if (request.header.method != "POST") return wrong_method("POST");
  const auto name = decode_percent(*invoked);
  const ModelTable::Entry model = name && !name->empty() ? models_.find(*name) : nullptr;
  if (model == nullptr) return error_reply(404, "no model of this name is loaded");
  return invoke(request, model, counted);
}

Service::Reply Service::invoke(HttpRequest& request, bool& counted) {
  if (request.header.method != "POST") return wrong_method("POST");
  if (!loaded()) return not_ready();
  const ModelTable::Entry model =
      models_.find(request.header.field("X-Amzn-SageMaker-Target-Model"));
  if (model == nullptr) {
    if (models_.all().empty()) return error_reply(503, "no model is loaded");
    return error_reply(404, "name one of the models in X-Amzn-SageMaker-Target-Model");
  }
  return invoke(request, model, counted);
}

Service::Reply Service::invoke(HttpRequest& request, const ModelTable::Entry& model,
                               bool& counted) {
  std::string_view accept = request.header.field("Accept");
  if (accept.empty() || accept == "*/*") accept = options_.default_accept;
  std::unique_ptr<Job> job = make_invocation(
      request, model->identity, model->hooks ? model->hooks : default_hooks_, accept, support_);
  if (job == nullptr)
    return error_reply(
        406,
        "Accept names no type that is written here; use application/json, application/x-npy "
        "or text/csv");
  counted = true;
  return start(request, model, std::move(job));
}

// A picture may be small and yet take long to decode, and nobody knows how long a hook takes.
bool Service::cheap(const HttpRequest& request, const ServedModel& model) const {
  if (model.hooks && model.hooks->overridden().of_requests()) return false;
  if (request.body.view().size() > options_.inline_body_bytes) return false;
  const auto type = payload::parse_media_type(request.header.field("Content-Type"));
  return !type || (!type->is("image") && !type->is("application", "x-image"));
}

Service::Reply Service::start(HttpRequest& request, const ModelTable::Entry& model,
                              std::unique_ptr<Job> job) {
  if (!cheap(request, *model)) {
    job->keep_body(request.body.take());
    job->defer_to(request.defer());
    start_worker(model, std::move(job));
    return std::nullopt;
  }
  payload::Pictures pictures;
  try {
    pictures = job->decode(request.body.view(), request.body_lasts);
  } catch (...) {
    return job->fail_by_exception("the request could not be decoded");
  }
  job->defer_to(request.defer());
  const Clock::time_point deadline = job->begin() + model->request_time;
  arrivals_.push_back(
      {.model = model,
       .work = {.pictures = std::move(pictures), .deadline = deadline, .waiter = std::move(job)}});
  if (arrivals_.size() >= model->turn_requests) finish_turn();
  return std::nullopt;
}

void Service::start_worker(const ModelTable::Entry& model, std::unique_ptr<Job> job) {
  // A std::function is copied, a job is not.
  const auto held = std::make_shared<std::unique_ptr<Job>>(std::move(job));
  if (!workers_.add([this, model, held] { process(model, std::move(*held)); }))
    (*held)->refuse(Refused::full);
}

// By a worker.
void Service::process(const ModelTable::Entry& model, std::unique_ptr<Job> job) {
  const Clock::time_point deadline = job->begin() + model->request_time;
  if (job->transforms()) {
    if (job->cancelled()) return;
    if (Clock::now() > deadline) return job->refuse(Refused::late);
    return job->transform_kept();
  }
  payload::Pictures pictures;
  try {
    pictures = job->decode_kept();
  } catch (...) {
    return job->refuse_by_exception("the request could not be decoded");
  }
  submit(model, {.pictures = std::move(pictures), .deadline = deadline, .waiter = std::move(job)});
}

void Service::finish_turn() {
  computing_.clear();  // where an exception left some
  computing_.swap(arrivals_);
  for (std::span<Arrival> left = computing_; !left.empty();) {
    const auto of_this_model = [model = left.front().model.get()](const Arrival& arrival) {
      return arrival.model.get() == model;
    };
    const auto other = std::stable_partition(left.begin(), left.end(), of_this_model);
    const auto same = left.first(static_cast<std::size_t>(other - left.begin()));
    compute(same);
    left = left.subspan(same.size());
  }
  computing_.clear();
}

// All of one model.
void Service::compute(std::span<Arrival> arrivals) {
  works_.clear();
  for (Arrival& arrival : arrivals) works_.push_back(std::move(arrival.work));
  const ModelTable::Entry& model = arrivals.front().model;
  if (!model->batcher->try_inline(works_))
    for (Work& work : works_)
      if (keep_pictures(work)) submit(model, std::move(work));
  works_.clear();
}

// A model that was replaced since it was found takes nothing more; the one in its place does. Work
// that a batcher does not take is as it was. NOLINTBEGIN(bugprone-use-after-move)
void Service::submit(const ModelTable::Entry& found, Work work) {
  ModelTable::Entry model = found;
  Admission admission = model->batcher->submit(std::move(work));
  while (admission == Admission::stopping) {
    const ModelIdentity& identity = *model->identity;
    ModelTable::Entry next = models_.find(identity.name, identity.version);
    if (next == nullptr) next = models_.find(identity.name);  // the version was taken away
    if (next == nullptr || next == model || !next->identity->answers_like(*found->identity)) break;
    model = std::move(next);
    admission = model->batcher->submit(std::move(work));
  }
  if (admission == Admission::full) work.waiter->refuse(Refused::full);
  if (admission == Admission::stopping) work.waiter->refuse(Refused::stopping);
}
// NOLINTEND(bugprone-use-after-move)

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
