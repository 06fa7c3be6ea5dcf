// One request for a prediction, from its body to its reply.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/http/http_server.h"
#include "engine/payload/decode.h"
#include "engine/payload/encode.h"
#include "engine/payload/inference_protocol.h"
#include "engine/serve/request_metrics.h"
#include "engine/serve/served_model.h"

namespace kiln::serve {

// Owns what it needs, the model apart: it is kept by whoever waits for the result, and a model must
// not be dropped by a thread of its own.
class Job {
 public:
  Job(const http::HttpRequest& request, Endpoint endpoint,
      std::shared_ptr<const ModelIdentity> identity, const payload::DecodeLimits& limits,
      std::shared_ptr<RequestMetrics> metrics);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  // Takes the body along: called where the request is left behind.
  void keep_body(std::string body) { body_ = std::move(body); }
  // The pictures of `body`, or of the one that was kept. Throws payload::Refusal.
  payload::Pictures decode(std::string_view body) { return do_decode(body); }
  payload::Pictures decode_kept() { return do_decode(body_); }

  // The reply to a result, or to what went wrong; counted, with the request's own id.
  http::HttpReply answer(std::span<const float> outputs);
  http::HttpReply fail(int status, std::string_view message);

 protected:
  virtual payload::Pictures do_decode(std::string_view body) = 0;
  virtual http::HttpReply do_answer(std::span<const float> outputs) const = 0;

  const ModelIdentity& identity() const { return *identity_; }
  const payload::DecodeLimits& limits() const { return limits_; }

 private:
  http::HttpReply finish(http::HttpReply reply);

  const Endpoint endpoint_;
  const Clock::time_point begin_ = Clock::now();
  const std::shared_ptr<const ModelIdentity> identity_;
  const payload::DecodeLimits limits_;
  const std::shared_ptr<RequestMetrics> metrics_;
  std::string request_id_, body_;
};

// POST /invocations. `reply_type`: what the client accepts.
std::shared_ptr<Job> make_invocation(const http::HttpRequest& request,
                                     std::shared_ptr<const ModelIdentity> identity,
                                     const payload::ReplyType& reply_type,
                                     const payload::DecodeLimits& limits,
                                     std::shared_ptr<RequestMetrics> metrics);

// POST .../infer.
std::shared_ptr<Job> make_inference(const http::HttpRequest& request,
                                    std::shared_ptr<const ModelIdentity> identity,
                                    const payload::DecodeLimits& limits,
                                    std::shared_ptr<RequestMetrics> metrics);

payload::ModelFacts facts_of(const ModelIdentity& identity);

// X-Request-Id of the request, where it is short and printable.
std::string request_id_of(const http::HttpHeader& header);

}  // namespace kiln::serve
