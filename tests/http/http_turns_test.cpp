// Many sockets that are ready at once: whose turn it is.
#include <chrono>
#include <deque>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "engine/http/http_server.h"
#include "tests/http/client.h"

namespace kiln::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

// A client that does not read its reply is left alone, also where it is looked for before a crowd:
// what it asks meanwhile is answered in order when it reads.
TEST(HttpServerTurns, AStuckReplyKeepsItsPlaceInACrowd) {
  constexpr int kClients = 100;
  Log log(stderr, LogLevel::quiet);
  std::promise<void> blocked[3], go_on[3];
  int block = 0;  // of the loop's thread
  HttpServer server(
      {},
      [&](HttpRequest& request) {
        const std::string target = request.header.target;
        if (target == "/block") {
          blocked[block].set_value();
          go_on[block++].get_future().wait();
        }
        return HttpReply{.body = target == "/large" ? std::string(16 << 20, 'x') : target + "."};
      },
      log);
  std::thread thread([&] { server.run(); });
  const auto post = [](const std::string& target) {
    return "POST " + target + " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
  };
  Client stuck(server.port()), blocker(server.port());
  std::deque<Client> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(server.port());
  stuck.send(get("/large"));
  for (int round = 0; round < 3; ++round) {  // in the first, all are new
    blocker.send(post("/block"));
    blocked[round].get_future().wait();
    for (Client& client : clients) client.send(post("/crowd"));
    stuck.send(get("/behind" + std::to_string(round)));
    go_on[round].set_value();
    for (Client& client : clients) EXPECT_THAT(client.read_until("/crowd."), HasSubstr("200"));
    blocker.read_until("/block.");
  }
  const std::string replies = stuck.read_until("/behind2.");
  EXPECT_GT(replies.size(), std::size_t{16 << 20});
  EXPECT_THAT(replies, HasSubstr("/behind0."));
  EXPECT_THAT(replies, HasSubstr("/behind1."));
  server.stop();
  thread.join();
}

// Two hundred clients whose requests are ready at once, all of whom have posted before, and one who
// has not: that one is answered before them, and none of them is forgotten.
TEST(HttpServerTurns, AGetWaitsForFewOfThePosts) {
  constexpr int kClients = 200;
  Log log(stderr, LogLevel::quiet);
  std::promise<void> blocked, go_on;
  int posts = 0, posts_before_get = -1;  // of the loop's thread
  HttpServer server(
      {},
      [&](HttpRequest& request) {
        if (request.header.target == "/block") {
          blocked.set_value();
          go_on.get_future().wait();
        } else if (request.header.method == "GET") {
          posts_before_get = posts;
        } else if (request.header.target == "/slow") {
          ++posts;
          std::this_thread::sleep_for(1ms);
        }
        return HttpReply{.body = "{}"};
      },
      log);
  std::thread thread([&] { server.run(); });
  const auto post = [](const std::string& target) {
    return "POST " + target + " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
  };
  std::deque<Client> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back(server.port());
    clients.back().send(post("/first"));
    clients.back().read_until("{}");
  }
  Client blocker(server.port()), other(server.port());
  blocker.send(post("/block"));
  blocked.get_future().wait();
  for (Client& client : clients) client.send(post("/slow"));
  other.send(get("/ping"));
  go_on.set_value();
  EXPECT_THAT(other.read_until("{}"), StartsWith("HTTP/1.1 200"));
  for (Client& client : clients) EXPECT_THAT(client.read_until("{}"), StartsWith("HTTP/1.1 200"));
  server.stop();
  thread.join();
  EXPECT_EQ(posts, kClients);
  EXPECT_EQ(posts_before_get, 0);
}

// Clients whose requests are ready at once. What the server says will last does, also where it
// comes to more than a turn's memory; then there are bodies of which it does not say so.
void expect_bodies_last(std::size_t body_bytes, int least_lasting, int most_lasting) {
  constexpr int kClients = 20;
  struct Kept {
    std::string_view body;
    char filled;
    std::shared_ptr<DeferredReply> reply;
  };
  Log log(stderr, LogLevel::quiet);
  std::promise<void> blocked, go_on;
  std::vector<Kept> kept;  // of the loop's thread, as what follows
  int lasting = 0, damaged = 0;
  HttpServer server(
      {},
      [&](HttpRequest& request) -> std::optional<HttpReply> {
        if (request.header.target == "/block") {
          blocked.set_value();
          go_on.get_future().wait();
          return HttpReply{};
        }
        if (request.body_lasts) ++lasting;
        kept.push_back({request.body_lasts ? request.body.view() : std::string_view(),
                        request.header.target.at(1), request.defer()});
        return std::nullopt;
      },
      log,
      [&] {
        for (const Kept& k : kept) {
          if (k.body.find_first_not_of(k.filled) != k.body.npos) ++damaged;
          if (!k.body.empty() && k.body.size() != body_bytes) ++damaged;
          k.reply->complete({.body = "done"});
        }
        kept.clear();
      });
  std::thread thread([&] { server.run(); });
  Client blocker(server.port());
  std::deque<Client> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(server.port());
  blocker.send(get("/block"));
  blocked.get_future().wait();
  char letter = 'a';
  for (Client& client : clients) {
    client.send("POST /" + std::string(1, letter) + " HTTP/1.1\r\nHost: a\r\nContent-Length: " +
                std::to_string(body_bytes) + "\r\n\r\n" + std::string(body_bytes, letter));
    ++letter;
  }
  go_on.set_value();
  for (Client& client : clients) EXPECT_THAT(client.read_until("done"), HasSubstr("200"));
  server.stop();
  thread.join();
  EXPECT_EQ(damaged, 0);
  EXPECT_GE(lasting, least_lasting);
  EXPECT_LE(lasting, most_lasting);
}

TEST(HttpServerTurns, BodiesLastUntilTheTurnsEnd) { expect_bodies_last(12288, 1, 20); }

TEST(HttpServerTurns, MoreThanATurnHoldsIsNotSaidToLast) { expect_bodies_last(60000, 1, 19); }

}  // namespace
}  // namespace kiln::http
