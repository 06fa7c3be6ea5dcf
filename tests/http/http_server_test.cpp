#include "engine/http/http_server.h"

#include <condition_variable>
#include <cstdio>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <optional>
#include <sys/resource.h>
#include <thread>

#include "engine/core/error.h"
#include "tests/http/client.h"
#include "tests/http/hostile_inputs.h"

namespace kiln::http {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

int count(std::string_view text, std::string_view part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// A server on a thread. /size answers the body's length, /large many bytes, /fail throws, /later
// waits for release(), /turn is answered at the end of its turn.
class HttpServerTest : public testing::Test {
 protected:
  void start(const HttpServerOptions& options = {}) {
    server_.emplace(
        options, [this](HttpRequest& request) { return answer(request); }, log_,
        [this] { end_turn(); },
        [this](int status) {
          const std::lock_guard lock(mutex_);
          refusals_.push_back(status);
        });
    thread_ = std::thread([this] { finished_ = server_->run(); });
  }
  void TearDown() override {
    stop();
    later_.clear();
  }
  // What run() returned.
  bool stop() {
    if (thread_.joinable()) {
      server_->stop();
      thread_.join();
    }
    return finished_;
  }
  std::uint16_t port() const { return server_->port(); }
  void request_stop() { server_->stop(); }

  std::shared_ptr<DeferredReply> wait_for_deferred(std::size_t index = 0) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(arrived_.wait_for(lock, 20s, [&] { return later_.size() > index; }));
    return later_.size() > index ? later_[index] : nullptr;
  }
  std::vector<int> refusals() {
    const std::lock_guard lock(mutex_);
    return refusals_;
  }
  void forget_deferred() {
    const std::lock_guard lock(mutex_);
    later_.clear();
  }
  std::string exchange(const std::string& bytes) {
    Client client(port());
    client.send(bytes);
    return client.read_all();
  }

  static constexpr std::size_t kLarge = 8 << 20;

 private:
  std::optional<HttpReply> answer(HttpRequest& request) {
    const std::string& target = request.header.target;
    if (target == "/size")
      return HttpReply{.body = std::to_string(request.body.view().size()) + "\n"};
    if (target == "/large") return HttpReply{.body = std::string(kLarge, 'l')};
    if (target == "/fail") throw Error(ErrorKind::io, "/a/path", "cannot be read");
    if (target == "/split")
      return HttpReply{.body = "ok\n", .fields = {{"X", "a\r\nY: b"}, {"Z", "c"}}};
    if (target == "/later") {
      const std::lock_guard lock(mutex_);
      later_.push_back(request.defer());
      arrived_.notify_all();
      return std::nullopt;
    }
    if (target.starts_with("/turn")) {
      turn_.push_back({target, request.defer()});
      return std::nullopt;
    }
    return error_reply(404, "there is no such page");
  }
  void end_turn() {
    ++turns_;
    for (auto& [target, deferred] : std::exchange(turn_, {}))
      deferred->complete({.body = target + " in turn " + std::to_string(turns_) + "\n"});
  }

  std::vector<std::pair<std::string, std::shared_ptr<DeferredReply>>> turn_;
  int turns_ = 0;

  Log log_{stderr, LogLevel::quiet};
  std::optional<HttpServer> server_;
  std::thread thread_;
  bool finished_ = false;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::shared_ptr<DeferredReply>> later_;
  std::vector<int> refusals_;
};

TEST_F(HttpServerTest, AnswersOneAfterAnotherOnOneConnection) {
  start();
  Client client(port());
  for (int i = 0; i < 3; ++i) {
    client.send("POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    const std::string reply = client.read_until("\n3\n");
    EXPECT_THAT(reply, testing::MatchesRegex(
                           "HTTP/1.1 200 OK\r\nDate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} "
                           "[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT\r\n"
                           "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n3\n"));
  }
}

TEST_F(HttpServerTest, HeadHasTheLengthOfTheBodyAndNoBody) {
  start();
  const std::string reply =
      exchange("HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n" + get("/size", "Connection: close\r\n"));
  EXPECT_EQ(count(reply, "Content-Length: " + std::to_string(kLarge) + "\r\n"), 1);
  EXPECT_EQ(count(reply, "\r\n\r\nHTTP/1.1 200 OK"), 1);
  EXPECT_THAT(reply, testing::EndsWith("\r\n\r\n0\n"));
}

TEST_F(HttpServerTest, APostWithoutABodyIsAnswered) {
  start();
  const std::string reply = exchange("POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" +
                                     get("/size", "Connection: close\r\n"));
  EXPECT_EQ(count(reply, "\r\n\r\n0\n"), 2);
}

// ApacheBench with -k.
TEST_F(HttpServerTest, AnOldClientIsToldThatItsConnectionStays) {
  start();
  Client client(port());
  const std::string request = "GET /size HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
  for (int i = 0; i < 2; ++i) {
    client.send(request);
    EXPECT_THAT(client.read_until("\n0\n"), HasSubstr("\r\nConnection: keep-alive\r\n"));
  }
  client.send("GET /size HTTP/1.0\r\n\r\n");
  EXPECT_THAT(client.read_all(), HasSubstr("\r\nConnection: close\r\n"));
}

TEST_F(HttpServerTest, HostileInputsHaveTheirAnswers) {
  start();
  for (const HostileInput& input : hostile_inputs()) {
    Client client(port());
    client.send(input.bytes);
    client.end_input();
    // A message may name the version, but no line of one starts with it.
    const std::string status_line = "\nHTTP/1.1 ";
    const std::string reply = "\n" + client.read_all();
    // The handler knows none of the paths: a whole request is 404.
    std::string statuses;
    for (std::size_t at = reply.find(status_line); at != reply.npos;
         at = reply.find(status_line, at + 1))
      statuses += (statuses.empty() ? "" : ",") + reply.substr(at + status_line.size(), 3);
    std::string expected = input.answers == "wait" ? "" : input.answers;
    for (std::size_t at = expected.find("200"); at != expected.npos; at = expected.find("200"))
      expected.replace(at, 3, "404");
    EXPECT_EQ(statuses, expected) << input.name;
  }
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  std::string bytes, expected;
  for (int i = 0; i < 100; ++i) {
    bytes += "POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(i) + "\r\n\r\n" +
             std::string(i, 'b');
    expected += std::to_string(i) + "\n";
  }
  const std::string reply = exchange(bytes + get("/size", "Connection: close\r\n"));
  std::string bodies;
  for (std::size_t at = reply.find("\r\n\r\n"); at != reply.npos; at = reply.find("\r\n\r\n", at)) {
    at += 4;
    bodies += reply.substr(at, reply.find('\n', at) + 1 - at);
  }
  EXPECT_EQ(bodies, expected + "0\n");
}

TEST_F(HttpServerTest, TheBodyLimitIsExact) {
  start({.limits = {.body_bytes = 1 << 20}});
  for (const int extra : {-1, 0, 1}) {
    const std::string body((1 << 20) + extra, 'b');
    const std::string reply =
        exchange("POST /size HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
    EXPECT_THAT(reply, StartsWith(extra > 0 ? "HTTP/1.1 413 " : "HTTP/1.1 200 "));
    EXPECT_EQ(count(reply, "{\"error\": \"the body is larger"), extra > 0 ? 1 : 0);
  }
}

TEST_F(HttpServerTest, ContinuesWhereTheClientWaitsForIt) {
  start();
  Client client(port());
  client.send(
      "POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("a");
  client.send("b");
  EXPECT_THAT(client.read_until("2\n"), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(HttpServerTest, SlowHeadersAndBodiesAreCut) {
  start({.header_time = 100ms, .body_time = 100ms, .idle_time = 200ms});
  Client header(port()), body(port()), silent(port());
  const std::string slow = get("/size", "X: " + std::string(8000, 'x') + "\r\n");
  body.send("POST /size HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  // A byte every 5 ms would go on for 40 s.
  std::size_t sent = 0;
  const auto began = std::chrono::steady_clock::now();
  while (sent < slow.size() && std::chrono::steady_clock::now() - began < 1s) {
    if (!header.send(slow.substr(sent++, 1)) || !body.send("b")) break;
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_THAT(header.read_all(), HasSubstr("HTTP/1.1 408 "));
  EXPECT_THAT(body.read_all(), HasSubstr("HTTP/1.1 408 "));
  EXPECT_EQ(silent.read_all(), "");
}

TEST_F(HttpServerTest, IdleConnectionsAreClosedWithoutAWord) {
  start({.idle_time = 50ms});
  Client client(port());
  client.send(get("/size"));
  const std::string reply = client.read_all();
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(count(reply, "HTTP/1.1"), 1);
}

TEST_F(HttpServerTest, HalfOpenConnectionsKeepNobodyWaiting) {
  start();
  std::vector<std::unique_ptr<Client>> half;
  for (int i = 0; i < 200; ++i) {
    half.push_back(std::make_unique<Client>(port()));
    half.back()->send("POST /size HTTP/1.1\r\nHos");
  }
  EXPECT_THAT(exchange(get("/size", "Connection: close\r\n")), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, RefusesConnectionsAboveTheLimit) {
  start({.connection_count = 2});
  Client one(port()), two(port());
  one.send(get("/size"));
  two.send(get("/size"));
  EXPECT_THAT(one.read_until("0\n"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(two.read_until("0\n"), StartsWith("HTTP/1.1 200 "));
  Client three(port());
  EXPECT_THAT(three.read_all(), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(refusals(), ElementsAre(503));
}

// A client that is turned away while it sends can go on: a reset would fail its next send, and many
// clients then read no reply. Its going leaves the places of the others as they were.
TEST_F(HttpServerTest, WhoIsTurnedAwayIsToldWhateverItSends) {
  start({.connection_count = 1, .linger_time = 20s});
  for (int round = 0; round < 3; ++round) {
    Client one(port());
    one.send(get("/size"));
    EXPECT_THAT(one.read_until("0\n"), StartsWith("HTTP/1.1 200 "));
    Client two(port());
    two.read_until("\r\n\r\n");
    Client three(port());
    const std::string piece(100'000, 'x');
    EXPECT_TRUE(three.send(post("Content-Length: 300000\r\n", piece)));
    std::string reply = three.read_until("\r\n\r\n");
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(three.send(piece)) << "piece " << i;
      std::this_thread::sleep_for(20ms);  // for a reset to come back
    }
    reply += three.read_all();
    EXPECT_THAT(reply, AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("too many")));
    one.send(get("/size"));
    EXPECT_THAT(one.read_until("0\n"), StartsWith("HTTP/1.1 200 "));
    one.end_input();
    EXPECT_EQ(one.read_all(), "");
  }
}

TEST_F(HttpServerTest, TellsOfWhatItRefuses) {
  start({.header_time = 50ms});
  EXPECT_THAT(exchange("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nHost:"), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(exchange(get("/fail", "Connection: close\r\n")), StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(exchange(get("/nothing", "Connection: close\r\n")), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(refusals(), ElementsAre(400, 408, 500)) << "404 is the handler's own";
}

// Also where nobody is connected whose going would wake the loop.
TEST_F(HttpServerTest, AcceptsAgainWhenTheSystemHasSocketsAgain) {
  start();
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const rlimit none{.rlim_cur = 0, .rlim_max = files.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const sockaddr_in address{.sin_family = AF_INET,
                            .sin_port = htons(port()),
                            .sin_addr = {htonl(INADDR_LOOPBACK)},
                            .sin_zero = {}};
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
            0);
  std::this_thread::sleep_for(100ms);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_THAT(exchange(get("/size", "Connection: close\r\n")), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, ALargeReplyArrivesWholeAndItsReaderMayVanish) {
  start();
  {
    Client gone(port());
    gone.send(get("/large"));
    gone.read_until("llll");
    gone.abort();
  }
  const std::string reply = exchange(get("/large", "Connection: close\r\n"));
  EXPECT_EQ(reply.size() - reply.find("\r\n\r\n") - 4, kLarge);
}

TEST_F(HttpServerTest, ADeferredReplyComesFromAnotherThread) {
  start();
  Client client(port());
  client.send(get("/later") + get("/size"));
  const auto deferred = wait_for_deferred();
  ASSERT_TRUE(deferred);
  EXPECT_FALSE(deferred->cancelled());
  EXPECT_THAT(exchange(get("/size", "Connection: close\r\n")), StartsWith("HTTP/1.1 200 "));
  deferred->complete({.body = "late\n"});
  deferred->complete({.body = "twice\n"});
  EXPECT_THAT(client.read_until("\n0\n"), HasSubstr("late\nHTTP/1.1 200 OK"));
}

TEST_F(HttpServerTest, ADeferredReplyIsCancelledWhenTheClientGoes) {
  start();
  Client client(port());
  client.send(get("/later"));
  const auto deferred = wait_for_deferred();
  ASSERT_TRUE(deferred);
  client.close();
  for (int i = 0; i < 2000 && !deferred->cancelled(); ++i) std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(deferred->cancelled());
  deferred->complete({.body = "for nobody\n"});
  EXPECT_THAT(exchange(get("/size", "Connection: close\r\n")), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, AForgottenReplyIsAnError) {
  start();
  Client client(port());
  client.send(get("/later", "Connection: close\r\n"));
  wait_for_deferred();
  forget_deferred();
  EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 500 "));
}

TEST_F(HttpServerTest, AnExceptionTellsTheClientNothing) {
  start();
  const std::string reply = exchange(get("/fail", "Connection: close\r\n"));
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(reply, HasSubstr("{\"error\": \"internal error\"}"));
  EXPECT_EQ(count(reply, "/a/path"), 0);
}

TEST_F(HttpServerTest, AHandlersFieldCannotSplitTheReply) {
  start();
  const std::string reply = exchange(get("/split", "Connection: close\r\n"));
  EXPECT_EQ(count(reply, "Y: b"), 0);
  EXPECT_THAT(reply, HasSubstr("\r\nZ: c\r\n"));
}

TEST_F(HttpServerTest, StopFinishesWhatHasBegun) {
  start();
  Client busy(port()), idle(port());
  idle.send(get("/size"));
  idle.read_until("0\n");
  busy.send(get("/later"));
  const auto deferred = wait_for_deferred();
  ASSERT_TRUE(deferred);
  request_stop();
  EXPECT_EQ(idle.read_all(), "");  // closed
  EXPECT_FALSE(deferred->cancelled());
  deferred->complete({.body = "last\n"});
  const std::string reply = busy.read_all();
  EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(reply, HasSubstr("last\n"));
  busy.close();
  EXPECT_TRUE(stop());
}

// As a request that crosses the server's decision to stop does.
TEST_F(HttpServerTest, ARequestOfAnIdleConnectionAfterStopIsAnswered) {
  start({.drain_idle_time = 20s});
  Client client(port());
  client.send(get("/size"));
  client.read_until("0\n");
  request_stop();
  while (Client(port()).connected()) std::this_thread::sleep_for(1ms);
  client.send(get("/size"));
  const std::string reply = client.read_all();
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(reply, HasSubstr("\r\nConnection: close\r\n"));
  client.close();
  EXPECT_TRUE(stop());
}

TEST_F(HttpServerTest, StopDoesNotWaitForever) {
  start({.drain_time = 50ms});
  Client client(port());
  client.send(get("/later"));
  const auto deferred = wait_for_deferred();
  EXPECT_FALSE(stop());
  EXPECT_TRUE(deferred->cancelled());
  deferred->complete({.body = "too late\n"});
}

// The second request of a connection is read when the first has its reply, in a turn of its own.
TEST_F(HttpServerTest, RepliesOfATurnsEndGoToTheirRequests) {
  start();
  EXPECT_THAT(exchange(get("/turn1") + get("/turn2") + get("/size") +
                       get("/turn3", "Connection: close\r\n")),
              testing::AllOf(HasSubstr("/turn1 in turn 1\n"), HasSubstr("/turn2 in turn 2\n"),
                             HasSubstr("\r\n\r\n0\n"), HasSubstr("/turn3 in turn 3\n")));
}

TEST_F(HttpServerTest, AReplyThatIsNotThereAtTheTurnsEndComesLater) {
  start();
  Client slow(port()), quick(port());
  slow.send(get("/later"));
  const auto deferred = wait_for_deferred();
  quick.send(get("/turn"));
  EXPECT_THAT(quick.read_until("\n", 6), HasSubstr("/turn in turn "));
  deferred->complete({.body = "at last\n"});
  EXPECT_THAT(slow.read_until("at last\n"), StartsWith("HTTP/1.1 200 "));
  slow.send(get("/turn"));
  EXPECT_THAT(slow.read_until("\n", 6), HasSubstr("/turn in turn "));
}

TEST_F(HttpServerTest, ManyClientsOfTurnsAllGetTheirOwn) {
  start();
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i)
    clients.emplace_back([this, i] {
      Client client(port());
      const std::string name = "/turn" + std::to_string(i) + "x";
      for (int k = 0; k < 200; ++k) {
        client.send(get(name));
        ASSERT_THAT(client.read_until("\n", 6), HasSubstr(name + " in turn "));
      }
    });
  for (std::thread& client : clients) client.join();
}

TEST_F(HttpServerTest, APortInUseIsNamed) {
  start();
  Log log(stderr, LogLevel::quiet);
  try {
    HttpServer second(
        {.port = port()}, [](HttpRequest&) { return HttpReply{}; }, log);
    FAIL() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("127.0.0.1:" + std::to_string(port())));
  }
}

}  // namespace
}  // namespace kiln::http
