// A server of HTTP/1.1: one thread, non-blocking sockets, epoll.
//
// The handler answers at once, or defers: then any thread completes the reply later, while the loop
// serves the other connections. Requests of one connection are answered one after another.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/log.h"
#include "engine/http/http_parser.h"

namespace kiln::http {

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<HttpField>
      fields;  // such as Retry-After; a value with control characters is left out
};

// {"error": ...} as a reply.
HttpReply error_reply(int status, std::string_view message);

class Completions;

// A reply that is still to come. Safe to use from any thread, also when the server is gone. The
// last owner's end without complete() answers 500, so that no client waits for what was forgotten.
class DeferredReply {
 public:
  DeferredReply(std::shared_ptr<Completions> completions, std::uint64_t connection)
      : completions_(std::move(completions)), connection_(connection) {}
  DeferredReply(const DeferredReply&) = delete;
  DeferredReply& operator=(const DeferredReply&) = delete;
  ~DeferredReply();

  // The first call counts.
  void complete(HttpReply reply);
  // Has the client gone? Then nobody reads the reply, and work for it can be left out.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  std::shared_ptr<Completions> completions_;
  std::uint64_t connection_;
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> completed_ = false;
};

// Valid during the handler's call.
class HttpRequest {
 public:
  using Defer = std::function<std::shared_ptr<DeferredReply>()>;
  using Clock = std::chrono::steady_clock;
  HttpRequest(const HttpHeader& request_header, HttpBody& request_body, Clock::time_point time,
              const Defer& defer, bool lasts = false)
      : header(request_header),
        body(request_body),
        arrived(time),
        body_lasts(lasts),
        defer_(defer) {}

  const HttpHeader& header;
  HttpBody& body;                   // may be taken
  const Clock::time_point arrived;  // the start of the loop's turn that read its end
  // Where the handler defers and has not taken the body: what body.view() shows stays there until
  // TurnEnd returns, also when the client goes.
  const bool body_lasts;
  // Call it at most once, and let the handler return nothing.
  std::shared_ptr<DeferredReply> defer() { return defer_(); }

 private:
  const Defer& defer_;
};

// Runs on the loop's thread and must not wait. An exception becomes 500. A request HEAD is answered
// like a GET: the loop leaves the body out. Whoever answers 405 names the methods in `Allow`. The
// loop itself writes Date, Content-Length and Connection.
using HttpHandler = std::function<std::optional<HttpReply>(HttpRequest&)>;

// Called at the end of a turn of the loop in which the handler deferred replies, after every
// request that had arrived was handled: what it completes there is sent at once and together, for
// less than from another thread. Must not wait.
using TurnEnd = std::function<void()>;

// Hears the status of every reply that the loop gives by itself: to what is no request, came too
// slowly, or is a connection too many, and where the handler threw.
using RefusalHeard = std::function<void(int status)>;

struct HttpServerOptions {
  std::string address = "127.0.0.1";  // IPv4
  std::uint16_t port = 0;             // 0: the system chooses
  HttpLimits limits;
  std::size_t connection_count = 1024;
  int pipelined_count = 16;  // requests of one connection that a turn of the loop answers
  std::size_t linger_bytes = 1 << 20;
  std::chrono::milliseconds header_time{
      10'000};                                   // from a request's first byte, or the connection's
  std::chrono::milliseconds body_time{30'000};   // of the whole body; of a write without progress
  std::chrono::milliseconds idle_time{75'000};   // between two requests
  std::chrono::milliseconds linger_time{2'000};  // for the client to read a last reply
  std::chrono::milliseconds drain_time{25'000};  // from stop() to the end of run()
  std::chrono::milliseconds drain_idle_time{500};  // of an idle connection after stop()
};

class HttpServer {
 public:
  // Binds and listens; clients connect from now on and wait for run().
  HttpServer(const HttpServerOptions& options, HttpHandler handler, Log& log, TurnEnd turn_end = {},
             RefusalHeard refusal_heard = {});
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  std::uint16_t port() const;
  // Serves until stop(). False when `drain_time` ended with replies still to come.
  bool run();
  // From any thread: no new connections; idle ones are closed after `drain_idle_time`, the others
  // get their reply and `Connection: close`.
  void stop();

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace kiln::http
