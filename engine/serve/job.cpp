#include "engine/serve/job.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace kiln::serve {
namespace {

constexpr std::string_view kJsonBytesField = "Inference-Header-Content-Length";

class Invocation final : public Job {
 public:
  Invocation(const http::HttpRequest& request, std::shared_ptr<const ModelIdentity> identity,
             const payload::ReplyType& reply_type, const payload::DecodeLimits& limits,
             std::shared_ptr<RequestMetrics> metrics)
      : Job(request, Endpoint::invocations, std::move(identity), limits, std::move(metrics)),
        content_type_(request.header.field("Content-Type")),
        reply_type_(reply_type) {}

 private:
  payload::Pictures do_decode(std::string_view body) override {
    payload::Pictures pictures =
        payload::decode_pictures(body, content_type_, identity().shape, limits());
    predictions_ = pictures.instances;
    return pictures;
  }
  http::HttpReply do_answer(std::span<const float> outputs) const override {
    const auto columns = static_cast<std::int64_t>(identity().classes.size());
    const auto rows = static_cast<std::int64_t>(outputs.size()) / columns;
    return {.content_type = std::string(reply_type_.content_type()),
            .body = payload::encode_outputs(outputs, rows, columns, reply_type_, predictions_),
            .fields = {}};
  }

  const std::string content_type_;
  const payload::ReplyType reply_type_;
  bool predictions_ = false;
};

class Inference final : public Job {
 public:
  Inference(const http::HttpRequest& request, std::shared_ptr<const ModelIdentity> identity,
            const payload::DecodeLimits& limits, std::shared_ptr<RequestMetrics> metrics)
      : Job(request, Endpoint::infer, std::move(identity), limits, std::move(metrics)),
        json_bytes_(request.header.field(kJsonBytesField)) {}

 private:
  payload::Pictures do_decode(std::string_view body) override {
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
         std::shared_ptr<const ModelIdentity> identity, const payload::DecodeLimits& limits,
         std::shared_ptr<RequestMetrics> metrics)
    : endpoint_(endpoint),
      identity_(std::move(identity)),
      limits_(limits),
      metrics_(std::move(metrics)),
      request_id_(request_id_of(request.header)) {}

http::HttpReply Job::answer(std::span<const float> outputs) {
  try {
    return finish(do_answer(outputs));
  } catch (const std::exception&) {  // no memory for the text
    return fail(500, "the reply could not be written");
  }
}

http::HttpReply Job::fail(int status, std::string_view message) {
  return finish(http::error_reply(status, message));
}

http::HttpReply Job::finish(http::HttpReply reply) {
  metrics_->count(endpoint_, reply.status, Clock::now() - begin_);
  if (reply.status == 429 || reply.status == 503) reply.fields.push_back({"Retry-After", "1"});
  if (!request_id_.empty()) reply.fields.push_back({"X-Request-Id", request_id_});
  return reply;
}

std::shared_ptr<Job> make_invocation(const http::HttpRequest& request,
                                     std::shared_ptr<const ModelIdentity> identity,
                                     const payload::ReplyType& reply_type,
                                     const payload::DecodeLimits& limits,
                                     std::shared_ptr<RequestMetrics> metrics) {
  return std::make_shared<Invocation>(request, std::move(identity), reply_type, limits,
                                      std::move(metrics));
}

std::shared_ptr<Job> make_inference(const http::HttpRequest& request,
                                    std::shared_ptr<const ModelIdentity> identity,
                                    const payload::DecodeLimits& limits,
                                    std::shared_ptr<RequestMetrics> metrics) {
  return std::make_shared<Inference>(request, std::move(identity), limits, std::move(metrics));
}

payload::ModelFacts facts_of(const ModelIdentity& identity) {
  return {.name = identity.name,
          .version = identity.version,
          .shape = identity.shape,
          .classes = static_cast<std::int64_t>(identity.classes.size())};
}

std::string request_id_of(const http::HttpHeader& header) {
  constexpr std::size_t kMost = 128;
  const std::string_view id = header.field("X-Request-Id");
  const bool printable = std::ranges::all_of(id, [](char c) { return c >= ' ' && c <= '~'; });
  return printable && id.size() <= kMost ? std::string(id) : std::string();
}

}  // namespace kiln::serve
