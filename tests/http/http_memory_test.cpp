// What the server keeps: resident memory, of a process that holds it and its clients.
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

#include "engine/http/http_server.h"
#include "tests/http/client.h"
#include "tests/http/hostile_inputs.h"

namespace kiln::http {
namespace {

long resident_bytes() {
  long pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

class HttpMemoryTest : public testing::Test {
 protected:
  HttpMemoryTest() : thread_([this] { server_.run(); }) {}
  // Both ends of 510 connections are more than the 1024 files that many systems allow at first.
  void SetUp() override {
    rlimit files{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  }
  ~HttpMemoryTest() override {
    server_.stop();
    thread_.join();
  }
  std::uint16_t port() const { return server_.port(); }

 private:
  Log log_{stderr, LogLevel::quiet};
  HttpServer server_{
      {},
      [](HttpRequest& request) {
        return HttpReply{.body = std::string(request.body.view().size(), 'r') + "end\n"};
      },
      log_};
  std::thread thread_;
};

// Bodies too large to be kept by anybody, then the most that the next request finds: a body and
// fields of nearly 16 KiB and 8 KiB, the header in two pieces.
TEST_F(HttpMemoryTest, AnIdleConnectionHoldsAtMost8KiB) {
  const std::string fields = repeated("X: " + std::string(75, 'y') + "\r\n", 95);
  const std::string large = post("Content-Length: 300000\r\n", std::string(300'000, 'b'));
  const std::string kept = post(fields + "Content-Length: 16000\r\n", std::string(16'000, 'b'));
  for (const std::string& request : {large, kept}) {
    std::vector<std::unique_ptr<Client>> idle;
    const auto open = [&](int count) {
      for (int i = 0; i < count; ++i) {
        idle.push_back(std::make_unique<Client>(port()));
        ASSERT_TRUE(idle.back()->send(request.substr(0, 4000)));
        ASSERT_TRUE(idle.back()->send(request.substr(4000)));
        EXPECT_EQ(idle.back()->read_until("end\n").substr(0, 12), "HTTP/1.1 200");
      }
    };
    open(10);  // what is set up once
    const long before = resident_bytes();
    open(500);
    EXPECT_LE(resident_bytes() - before, 500L * (8 << 10)) << request.size();
  }
}

TEST_F(HttpMemoryTest, HostileInputsLeaveNothingBehind) {
  const std::vector<HostileInput> rows = hostile_inputs();
  const auto abuse = [&](const HostileInput& row, int count) {
    for (int i = 0; i < count; ++i) {
      Client client(port());
      client.send(row.bytes);
      client.end_input();
      client.read_all();
    }
  };
  for (const HostileInput& row : rows) abuse(row, 5);
  for (const HostileInput& row : rows) {
    const long before = resident_bytes();
    abuse(row, 100);
    EXPECT_LE(resident_bytes() - before, 1 << 20) << row.name;
  }
}

}  // namespace
}  // namespace kiln::http
