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
  int overload_status = 429;       // of what is refused because too much waits
  payload::ReplyType any_reply{};  // where a client takes anything
};

// Waits for its own result. Owns what it needs but the model, which must not be dropped by a thread
// of its own, and the support, which outlives all jobs.
class Job : public Waiter {
 public:
  Job(const http::HttpRequest& request, Endpoint endpoint,
      std::shared_ptr<const ModelIdentity> identity, const JobSupport& support);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Where the reply will go; before anything of Waiter is called.
  void defer_to(std::shared_ptr<http::DeferredReply> deferred) { deferred_ = std::move(deferred); }
  bool cancelled() const final { return deferred_->cancelled(); }
  void answer(std::span<const float> outputs) final;
  void refuse(Refused why) final;

  // Takes the body along: called where the request is left behind.
  void keep_body(std::string body) { body_ = std::move(body); }
  // The pictures of `body`, or of the one that was kept. Throws payload::Refusal, or what a hook
  // throws. They may lie in `body` where `lend` says so.
  payload::Pictures decode(std::string_view body, bool lend = false);
  payload::Pictures decode_kept() { return decode(body_); }
  // Whether a hook makes the reply of the whole body, which was kept, and does.
  virtual bool transforms() const { return false; }
  void transform_kept();

  // The reply to what is wrong with the request; counted, with the request's own id.
  http::HttpReply fail(int status, std::string_view message);
  // Of the exception that is being handled: a refusal's own status and words, else 500 with
  // `message`, and on_failure hears the words.
  http::HttpReply fail_by_exception(std::string_view message);
  // fail_by_exception() to where the reply is awaited.
  void refuse_by_exception(std::string_view message);

  // When the request came.
  Clock::time_point begin() const { return begin_; }

 protected:
  virtual payload::Pictures do_decode(std::string_view body, bool lend) = 0;
  virtual http::HttpReply do_answer(std::span<const float> outputs) const = 0;
  virtual http::HttpReply do_transform(std::string_view body) const;

  const ModelIdentity& identity() const { return *identity_; }
  const payload::DecodeLimits& limits() const { return support_.limits; }

 private:
  http::HttpReply finish(http::HttpReply reply);

  const Endpoint endpoint_;
  const Clock::time_point begin_;
  const std::shared_ptr<const ModelIdentity> identity_;
  const JobSupport& support_;
  std::shared_ptr<http::DeferredReply> deferred_;
  std::string request_id_, custom_attributes_, body_;
};

// POST /invocations. `accept`: what the client takes. nullptr where neither the server nor the
// hooks write any of that.
std::unique_ptr<Job> make_invocation(const http::HttpRequest& request,
                                     std::shared_ptr<const ModelIdentity> identity,
                                     std::shared_ptr<const Hooks> hooks, std::string_view accept,
                                     const JobSupport& support);

// POST .../infer.
std::unique_ptr<Job> make_inference(const http::HttpRequest& request,
                                    std::shared_ptr<const ModelIdentity> identity,
                                    const JobSupport& support);

payload::ModelFacts facts_of(const ModelIdentity& identity);

// A field of the request that comes back in its reply: where it is printable and no longer than
// `most`, else empty.
std::string echo_of(const http::HttpHeader& header, std::string_view name, std::size_t most);

// X-Request-Id of the request, where it is short and printable.
std::string request_id_of(const http::HttpHeader& header);

}  // namespace kiln::serve
