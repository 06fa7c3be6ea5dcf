// Asks a service as the loop of a server would, without a socket, and waits for the reply.
#pragma once

#include <algorithm>
#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "engine/http/completions.h"
#include "engine/serve/service.h"

namespace kiln::serve {

struct Asked {
  std::string method, target, body;
  std::vector<http::HttpField> fields;
};

class ServiceClient {
 public:
  // One turn of the loop. The reply at once, or nothing where it is to come.
  std::optional<http::HttpReply> send(Service& service, const Asked& asked) {
    const http::HttpHeader header{
        .method = asked.method, .target = asked.target, .fields = asked.fields};
    std::string bytes = asked.body;
    http::HttpBody body;
    body.borrow(bytes);
    const http::HttpRequest::Defer defer = [&] {
      last_ = std::make_shared<http::DeferredReply>(completions_, 1);
      return last_;
    };
    http::HttpRequest request(header, body, std::chrono::steady_clock::now(), defer, body_lasts_);
    auto reply = service.handle(request);
    if (!body_lasts_) overwrite(bytes);
    service.finish_turn();
    overwrite(bytes);
    return reply;
  }
  http::HttpReply wait() {
    for (;;) {
      auto entries = completions_->take();
      if (!entries.empty()) return std::move(entries.front().second);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  http::HttpReply ask(Service& service, const Asked& asked) {
    auto reply = send(service, asked);
    was_deferred_ = !reply.has_value();
    return reply ? *reply : wait();
  }

  // Whether bodies lie where they are until the turn's end, or are gone when the request is
  // handled.
  void set_body_lasts(bool lasts) { body_lasts_ = lasts; }

  // Of the last ask().
  bool was_deferred() const { return was_deferred_; }
  // Of the last request that was deferred.
  const std::shared_ptr<http::DeferredReply>& last() const { return last_; }
  const std::shared_ptr<http::Completions>& completions() const { return completions_; }

 private:
  static void overwrite(std::string& bytes) { bytes.assign(bytes.size(), '\x7f'); }

  bool body_lasts_ = false;
  std::shared_ptr<http::Completions> completions_ = std::make_shared<http::Completions>();
  std::shared_ptr<http::DeferredReply> last_;
  bool was_deferred_ = false;
};

inline std::string field(const http::HttpReply& reply, std::string_view name) {
  for (const auto& f : reply.fields)
    if (f.name == name) return f.value;
  return "";
}

// One line of JSON, {"error": ...}, that holds `words`; with 405 they are what `Allow` says.
inline void expect_error(const http::HttpReply& reply, int status, const std::string& words) {
  EXPECT_EQ(reply.status, status);
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_THAT(reply.body, testing::StartsWith("{\"error\": \""));
  EXPECT_THAT(reply.body, testing::HasSubstr(words));
  EXPECT_EQ(std::count(reply.body.begin(), reply.body.end(), '\n'), 1);
  EXPECT_EQ(field(reply, "Allow"), status == 405 ? words : "");
}

}  // namespace kiln::serve
