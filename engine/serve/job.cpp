#include "engine/serve/job.h"

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

namespace kiln::serve {
namespace {

constexpr std::string_view kJsonBytesField = "Inference-Header-Content-Length";
// What a client of SageMaker sends along and finds again in the reply.
constexpr std::string_view kAttributesField = "X-Amzn-SageMaker-Custom-Attributes";
constexpr std::size_t kMostAttributes = 1024, kMostId = 128;

http::HttpReply to_http(HookReply reply) {
  const bool printable =
      std::ranges::all_of(reply.content_type, [](char c) { return c >= ' ' && c <= '~'; });
  if (reply.content_type.empty() || !printable)
    throw std::runtime_error("a hook's reply has no content type, or one that is not printable");
  return {
      .content_type = std::move(reply.content_type), .body = std::move(reply.body), .fields = {}};
}

class Invocation final : public Job {
 public:
  Invocation(const http::HttpRequest& request, std::shared_ptr<const ModelIdentity> identity,
             std::shared_ptr<const Hooks> hooks, std::string_view accept,
             const std::optional<payload::ReplyType>& reply_type, const JobSupport& support)
      : Job(request, Endpoint::invocations, std::move(identity), support),
        hooks_(std::move(hooks)),
        content_type_(request.header.field("Content-Type")),
        accept_(accept),
        reply_type_(reply_type) {}

  bool transforms() const override { return hooks_->overridden().transform_fn; }

 private:
  payload::Pictures do_decode(std::string_view body, bool lend) override {
    payload::Pictures pictures;
    if (lend && !hooks_->overridden().input_fn) {
      pictures = payload::lend_pictures(body, content_type_, identity().shape, limits());
    } else {
      pictures = hooks_->input_fn(
          {.body = body, .content_type = content_type_, .model = identity(), .limits = limits()});
      pictures.keep();
    }
    predictions_ = pictures.instances;
    return pictures;
  }
  http::HttpReply do_answer(std::span<const float> outputs) const override {
    const auto columns = static_cast<std::int64_t>(identity().classes.size());
    return to_http(hooks_->output_fn({.values = outputs,
                                      .rows = static_cast<std::int64_t>(outputs.size()) / columns,
                                      .columns = columns,
                                      .accept = accept_,
                                      .type = reply_type_,
                                      .predictions = predictions_,
                                      .model = identity()}));
  }
  http::HttpReply do_transform(std::string_view body) const override {
    return to_http(hooks_->transform_fn({.body = body,
                                         .content_type = content_type_,
                                         .accept = accept_,
                                         .model = identity(),
                                         .limits = limits()}));
  }

  const std::shared_ptr<const Hooks> hooks_;
  const std::string content_type_, accept_;
  const std::optional<payload::ReplyType> reply_type_;
  bool predictions_ = false;
};

class Inference final : public Job {
 public:
  Inference(const http::HttpRequest& request, std::shared_ptr<const ModelIdentity> identity,
            const JobSupport& support)
      : Job(request, Endpoint::infer, std::move(identity), support),
        json_bytes_(request.header.field(kJsonBytesField)) {}

 private:
  payload::Pictures do_decode(std::string_view body, bool /*lend*/) override {
    std::optional<std::size_t> json_bytes;
    if (!json_bytes_.empty()) json_bytes = payload::parse_json_bytes(json_bytes_, body.size());
    request_ = payload::read_inference_request(body, json_bytes, identity().shape, limits());
    return std::move(request_.pictures);
  }
  http::HttpReply do_answer(std::span<const float> outputs) const override {
    payload::InferenceReply made =
        payload::write_inference_reply(facts_of(identity()), request_, outputs);
    http::HttpReply reply{.body = std::move(made.body), .fields = {}};
    if (made.json_bytes) {
      reply.content_type = "application/octet-stream";
      reply.fields.push_back({std::string(kJsonBytesField), std::to_string(*made.json_bytes)});
    }
    return reply;
  }

  const std::string json_bytes_;
  payload::InferenceRequest request_;
};

}  // namespace

Job::Job(const http::HttpRequest& request, Endpoint endpoint,
         std::shared_ptr<const ModelIdentity> identity, const JobSupport& support)
    : endpoint_(endpoint),
      begin_(request.arrived),
      identity_(std::move(identity)),
      support_(support),
      request_id_(request_id_of(request.header)),
      custom_attributes_(echo_of(request.header, kAttributesField, kMostAttributes)) {}

// Hooks are code of others: what they say is held to the shape.
payload::Pictures Job::decode(std::string_view body, bool lend) {
  payload::Pictures pictures = do_decode(body, lend);
  const auto size =
      static_cast<std::size_t>(std::max<std::int64_t>(pictures.count, 0) * identity_->shape.size());
  if (pictures.count < 1 || pictures.count > limits().picture_count ||
      pictures.pixels().size() + pictures.values.size() != size ||
      (!pictures.pixels().empty() && !pictures.values.empty()))
    throw std::runtime_error("input_fn gave no pictures of the model's shape, or too many");
  return pictures;
}

void Job::transform_kept() {
  try {
    deferred_->complete(finish(do_transform(body_)));
  } catch (...) {
    refuse_by_exception("the model failed on this request");
  }
}

http::HttpReply Job::do_transform(std::string_view) const {
  throw std::logic_error("this request has nothing that transforms it");
}

void Job::answer(std::span<const float> outputs) {
  try {
    deferred_->complete(finish(do_answer(outputs)));
  } catch (...) {
    refuse_by_exception("the reply could not be written");
  }
}

void Job::refuse(Refused why) {
  const auto reply = [&] {
    switch (why) {
      case Refused::late:
        return fail(504, "the time for this request is over; try again later");
      case Refused::full:
        return fail(support_.overload_status, "too many requests wait");
      case Refused::stopping:
        return fail(503, "the model is being replaced or the server stops");
      case Refused::failed:
        break;
    }
    return fail(500, "the model failed on this request");
  };
  deferred_->complete(reply());
}

void Job::refuse_by_exception(std::string_view message) {
  deferred_->complete(fail_by_exception(message));
}

http::HttpReply Job::fail(int status, std::string_view message) {
  return finish(http::error_reply(status, message));
}

http::HttpReply Job::fail_by_exception(std::string_view message) {
  std::string why;
  try {
    throw;
  } catch (const payload::Refusal& refusal) {
    why = refusal.what();
    if (refusal.status() >= 400 && refusal.status() <= 599) return fail(refusal.status(), why);
  } catch (const std::bad_alloc&) {
    return fail(507, "no memory is left for this request");
  } catch (const std::exception& fault) {
    why = fault.what();
  } catch (...) {
    why = "what was thrown is no std::exception";
  }
  if (support_.on_failure) support_.on_failure(identity_->name + ": a request failed: " + why);
  return fail(500, message);
}

http::HttpReply Job::finish(http::HttpReply reply) {
  support_.metrics->count(endpoint_, reply.status, Clock::now() - begin_);
  if (reply.status == 429 || reply.status == 503) reply.fields.push_back({"Retry-After", "1"});
  if (!request_id_.empty()) reply.fields.push_back({"X-Request-Id", request_id_});
  if (!custom_attributes_.empty())
    reply.fields.push_back({std::string(kAttributesField), custom_attributes_});
  return reply;
}

std::unique_ptr<Job> make_invocation(const http::HttpRequest& request,
                                     std::shared_ptr<const ModelIdentity> identity,
                                     std::shared_ptr<const Hooks> hooks, std::string_view accept,
                                     const JobSupport& support) {
  const auto type = payload::choose_reply_type(accept, support.any_reply);
  const HookSet& set = hooks->overridden();
  if (!type && !set.output_fn && !set.transform_fn) return nullptr;
  return std::make_unique<Invocation>(request, std::move(identity), std::move(hooks), accept, type,
                                      support);
}

std::unique_ptr<Job> make_inference(const http::HttpRequest& request,
                                    std::shared_ptr<const ModelIdentity> identity,
                                    const JobSupport& support) {
  return std::make_unique<Inference>(request, std::move(identity), support);
}

payload::ModelFacts facts_of(const ModelIdentity& identity) {
  return {.name = identity.name,
          .version = identity.version,
          .shape = identity.shape,
          .classes = static_cast<std::int64_t>(identity.classes.size())};
}

std::string echo_of(const http::HttpHeader& header, std::string_view name, std::size_t most) {
  const std::string_view text = header.field(name);
  const bool printable = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
  return printable && text.size() <= most ? std::string(text) : std::string();
}

std::string request_id_of(const http::HttpHeader& header) {
  return echo_of(header, "X-Request-Id", kMostId);
}

}  // namespace kiln::serve
