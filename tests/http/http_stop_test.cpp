// stop() while clients ask as fast as they can: no request of an open connection goes unanswered,
// nor one of a connection that was being opened.
#include <atomic>
#include <gtest/gtest.h>
#include <memory>
#include <thread>

#include "engine/http/http_server.h"
#include "tests/http/client.h"
#include "tests/http/hostile_inputs.h"

namespace kiln::http {
namespace {

struct Counts {
  std::atomic<int> asked = 0, answered = 0, told_to_close = 0;
};

// Asks until the port refuses; reconnects only where a reply told it to.
void ask(std::uint16_t port, const std::string& request, Counts& counts) {
  auto client = std::make_unique<Client>(port);
  while (client->connected()) {
    ++counts.asked;
    client->send(request);
    const std::string reply = client->read_until("done\n");
    if (!reply.starts_with("HTTP/1.1 200 ") || !reply.ends_with("done\n")) return;
    ++counts.answered;
    if (reply.find("\r\nConnection: close\r\n") == reply.npos) continue;
    ++counts.told_to_close;
    client = std::make_unique<Client>(port);
  }
}

TEST(HttpStop, UnderLoadFailsNoRequest) {
  constexpr int kConnections = 16, kRequests = 10'000;
  const std::string request = post("Content-Length: 12288\r\n", std::string(12288, 'b'));
  for (const int stop_at : {0, kRequests}) {
    Log log(stderr, LogLevel::quiet);
    HttpServer server(
        // A client that the machine does not run for a while still finds its connection.
        {.drain_idle_time = std::chrono::seconds(20)},
        [](HttpRequest&) { return HttpReply{.body = "done\n"}; }, log);
    bool finished = false;
    std::thread loop([&] { finished = server.run(); });
    Counts counts;
    std::vector<std::thread> clients;
    for (int i = 0; i < kConnections; ++i)
      clients.emplace_back([&] { ask(server.port(), request, counts); });
    while (counts.answered < stop_at) std::this_thread::yield();
    server.stop();
    for (std::thread& client : clients) client.join();
    loop.join();
    EXPECT_TRUE(finished);
    if (stop_at == 0) continue;  // some were never accepted
    EXPECT_GE(counts.answered, kRequests);
    EXPECT_EQ(counts.answered, counts.asked);
    EXPECT_EQ(counts.told_to_close, kConnections);
  }
}

// A connection for each request, until the port refuses.
void ask_anew(std::uint16_t port, const std::string& request, Counts& counts) {
  for (;;) {
    Client client(port);
    if (!client.connected()) return;
    ++counts.asked;
    client.send(request);
    if (client.read_all().ends_with("done\n")) ++counts.answered;
  }
}

TEST(HttpStop, UnderNewConnectionsFailsNoRequest) {
  constexpr int kStops = 4, kClients = 48, kRequests = 500;
  const std::string request =
      post("Content-Length: 64\r\nConnection: close\r\n", std::string(64, 'b'));
  Counts counts;
  for (int stop = 1; stop <= kStops; ++stop) {
    Log log(stderr, LogLevel::quiet);
    HttpServer server(
        {.drain_idle_time = std::chrono::seconds(20)},
        [](HttpRequest&) { return HttpReply{.body = "done\n"}; }, log);
    bool finished = false;
    std::thread loop([&] { finished = server.run(); });
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i)
      clients.emplace_back([&] { ask_anew(server.port(), request, counts); });
    while (counts.answered < stop * kRequests) std::this_thread::yield();
    server.stop();
    for (std::thread& client : clients) client.join();
    loop.join();
    EXPECT_TRUE(finished);
  }
  EXPECT_EQ(counts.answered, counts.asked);
}

}  // namespace
}  // namespace kiln::http
