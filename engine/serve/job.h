// One request for a prediction, from its body to its reply.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/http/http_server.h"
#include "engine/payload/decode.h"
#include "engine/payload/inference_protocol.h"
#include "engine/serve/hooks.h"
#include "engine/serve/request_metrics.h"
#include "engine/serve/served_model.h"

namespace kiln::serve {

// What all jobs share. `on_failure` hears of faults that are the server's or a hook's, from any
// thread; it may be empty.
struct JobSupport {
  payload::DecodeLimits limits;
  std::shared_ptr<RequestMetrics> metrics;
  std::function<void(std::string_view)> on_failure;
};

// Owns what it needs, the model apart: it is kept by whoever waits for the result, and a model must
// not be dropped by a thread of its own.
class Job {
 public:
  Job(const http::HttpRequest& request, Endpoint endpoint,
      std::shared_ptr<const ModelIdentity> identity, std::shared_ptr<const JobSupport> support);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  // Takes the body along: called where the request is left behind.
  void keep_body(std::string body) { body_ = std::move(body); }
  // The pictures of `body`, or of the one that was kept. Throws payload::Refusal, or what a hook
  // throws.
  payload::Pictures decode(std::string_view body);
  payload::Pictures decode_kept() { return decode(body_); }
  // Whether a hook makes the reply of the whole body, which was kept, and that reply.
  virtual bool transforms() const { return false; }
  http::HttpReply transform_kept();

  // The reply to a result, or to what went wrong; counted, with the request's own id.
  http::HttpReply answer(std::span<const float> outputs);
  http::HttpReply fail(int status, std::string_view message);
  // Of the exception that is being handled: a refusal's own status and words, else 500 with
  // `message`, and on_failure hears the words.
  http::HttpReply fail_by_exception(std::string_view message);

  Clock::duration age() const { return Clock::now() - begin_; }

 protected:
  virtual payload::Pictures do_decode(std::string_view body) = 0;
  virtual http::HttpReply do_answer(std::span<const float> outputs) const = 0;
  virtual http::HttpReply do_transform(std::string_view body) const;

  const ModelIdentity& identity() const { return *identity_; }
  const payload::DecodeLimits& limits() const { return support_->limits; }

 private:
  http::HttpReply finish(http::HttpReply reply);

  const Endpoint endpoint_;
  const Clock::time_point begin_ = Clock::now();
  const std::shared_ptr<const ModelIdentity> identity_;
  const std::shared_ptr<const JobSupport> support_;
  std::string request_id_, custom_attributes_, body_;
};

// POST /invocations. `accept`: what the client takes. nullptr where neither the server nor the
// hooks write any of that.
std::shared_ptr<Job> make_invocation(const http::HttpRequest& request,
                                     std::shared_ptr<const ModelIdentity> identity,
                                     std::shared_ptr<const Hooks> hooks, std::string_view accept,
                                     std::shared_ptr<const JobSupport> support);

// POST .../infer.
std::shared_ptr<Job> make_inference(const http::HttpRequest& request,
                                    std::shared_ptr<const ModelIdentity> identity,
                                    std::shared_ptr<const JobSupport> support);

payload::ModelFacts facts_of(const ModelIdentity& identity);

// A field of the request that comes back in its reply: where it is printable and no longer than
// `most`, else empty.
std::string echo_of(const http::HttpHeader& header, std::string_view name, std::size_t most);

// X-Request-Id of the request, where it is short and printable.
std::string request_id_of(const http::HttpHeader& header);

}  // namespace kiln::serve
