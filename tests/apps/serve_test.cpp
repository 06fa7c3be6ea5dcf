// kiln serve, the program: its first line, its signals, its models, and what it does under load.
#include <atomic>
#include <csignal>
#include <fstream>
#include <gmock/gmock.h>
#include <memory>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>

#include "models/model_card.h"
#include "models/model_directory.h"
#include "models/zoo.h"
#include "tests/apps/app_test.h"
#include "tests/apps/running_server.h"
#include "tests/http/client.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {
namespace {

using http::Client;
using testing::HasSubstr;
using testing::StartsWith;

const std::string& picture_request() {
  static const std::string request =
      "POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n"
      "Content-Length: 3072\r\n\r\n" +
      std::string(3072, 'p');
  return request;
}

// On a connection of its own.
std::string ask(std::uint16_t port, std::string request) {
  request.insert(request.find("Host: "), "Connection: close\r\n");
  Client client(port);
  client.send(request);
  return client.read_all();
}

std::string get(std::uint16_t port, const std::string& path) {
  return ask(port, "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
}

std::string body_of(const std::string& reply) {
  const std::size_t at = reply.find("\r\n\r\n");
  return at == reply.npos ? "" : reply.substr(at + 4);
}

class ServeTest : public AppTest {
 protected:
  static std::vector<std::string> words(const std::string& model,
                                        std::vector<std::string> more = {}) {
    more.insert(more.begin(), {model, "--address", "127.0.0.1", "--port", "0"});
    return more;
  }
  std::string model() const { return save_random_model(lenet(), 1); }
  // Puts a model of another seed in the place of `directory`'s, file by file, the card last.
  void exchange(const std::string& directory, std::uint64_t seed) const {
    const std::filesystem::path from = save_random_model(lenet(), seed);
    if (from == directory) return;
    for (const char* name : {kWeightsFile, kCardFile})
      std::filesystem::rename(from / name, std::filesystem::path(directory) / name);
  }
};

// Asks until the port refuses; connects again only where a reply told it to. All 200, or `failed`.
struct Load {
  std::atomic<int> answered = 0, failed = 0;
  std::atomic<bool> stop = false;

  void run(std::uint16_t port) {
    auto client = std::make_unique<Client>(port);
    while (!stop && client->connected()) {
      client->send(picture_request());
      const std::string reply = client->read_until("]]");
      if (!reply.starts_with("HTTP/1.1 200 ") || !reply.ends_with("]]")) {
        ++failed;
        return;
      }
      ++answered;
      if (reply.find("\r\nConnection: close\r\n") != reply.npos)
        client = std::make_unique<Client>(port);
    }
  }
};

class LoadThreads {
 public:
  LoadThreads(Load& load, std::uint16_t port, int count) : load_(load) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([&load, port] { load.run(port); });
  }
  LoadThreads(const LoadThreads&) = delete;
  LoadThreads& operator=(const LoadThreads&) = delete;
  ~LoadThreads() {
    load_.stop = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  Load& load_;
  std::vector<std::thread> threads_;
};

TEST_F(ServeTest, AnswersEveryProtocolFromOneModel) {
  RunningServer server(words(model()));
  const std::uint16_t port = server.wait_until_ready();
  EXPECT_THAT(get(port, "/ping"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(port, picture_request()), HasSubstr("[["));
  EXPECT_THAT(get(port, "/v2/models/lenet"), HasSubstr("\"versions\":[\"1\"]"));
  EXPECT_THAT(get(port, "/v2/health/ready"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(get(port, "/metrics"), HasSubstr("kiln_model_loads_total{outcome=\"loaded\"} 1"));
  EXPECT_THAT(get(port, "/nothing"), StartsWith("HTTP/1.1 404 "));
  server.signal(SIGTERM);
  const ProcessResult end = server.finish();
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_THAT(end.out, testing::MatchesRegex(
                           "kiln serve: ready on http://127.0.0.1:[0-9]+: lenet version 1\n"));
}

TEST_F(ServeTest, AFolderOfModelsWithVersions) {
  const std::filesystem::path root = path("models");
  std::filesystem::create_directories(root / "b");
  std::filesystem::rename(save_random_model(lenet(), 1), root / "a");
  std::filesystem::rename(save_random_model(lenet(), 2), root / "b" / "3");
  std::filesystem::rename(save_random_model(lenet(), 3), root / "b" / "20");
  RunningServer server(words(root.string()));
  const std::uint16_t port = server.wait_until_ready();
  EXPECT_THAT(get(port, "/v2/models/b"), HasSubstr("\"versions\":[\"3\",\"20\"]"));
  EXPECT_THAT(get(port, "/v2/models/b/versions/3/ready"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(port, picture_request()), StartsWith("HTTP/1.1 404 ")) << "it must be named";
  std::string named = picture_request();
  named.insert(named.find("Content-Type"), "X-Amzn-SageMaker-Target-Model: a\r\n");
  EXPECT_THAT(ask(port, named), StartsWith("HTTP/1.1 200 "));
}

// As SageMaker starts a container: one word, and the rest in variables.
TEST_F(ServeTest, TheContainersCommandServesTheContainersModel) {
  const std::filesystem::path base = folder() / "ml";
  std::filesystem::create_directories(base);
  std::filesystem::rename(model(), base / "model");
  // What a training job leaves beside a model, and local mode's tarball.
  std::filesystem::create_directories(base / "model/code");
  std::ofstream(base / "model/code/inference.py") << "import torch\n";
  std::ofstream(base / "model/model.tar.gz") << "no archive";
  RunningServer server({"serve"}, {"SAGEMAKER_BASE_DIR=" + base.string(),
                                   "SAGEMAKER_BIND_TO_PORT=0", "SAGEMAKER_PROGRAM=inference.py"});
  const std::uint16_t port = server.wait_until_ready();
  EXPECT_THAT(ask(port, picture_request()), HasSubstr("[["));
  EXPECT_THAT(
      body_of(get(port, "/execution-parameters")),
      testing::MatchesRegex(R"(\{"MaxConcurrentTransforms": [0-9]+, "MaxPayloadInMB": 6\}.)"));
  EXPECT_TRUE(server.wait_for_log("SAGEMAKER_PROGRAM: inference.py is Python code"));
}

TEST_F(ServeTest, ModelsOfAMultiModelEndpointComeAndGo) {
  const std::filesystem::path base = folder() / "ml";
  RunningServer server({"serve"}, {"SAGEMAKER_BASE_DIR=" + base.string(),
                                   "SAGEMAKER_BIND_TO_PORT=0", "SAGEMAKER_MULTI_MODEL=true"});
  const std::uint16_t port = server.wait_until_ready();
  EXPECT_THAT(get(port, "/ping"), StartsWith("HTTP/1.1 200 ")) << "without a model, or a folder";
  const std::filesystem::path url = base / "models/0f4a/model";
  std::filesystem::create_directories(url.parent_path());
  std::filesystem::rename(model(), url);
  const std::string load = R"({"model_name": "0f4a", "url": ")" + url.string() + "\"}";
  const auto post = [&](const std::string& path, const std::string& body) {
    return ask(port, "POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: " +
                         std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  EXPECT_THAT(post("/models", load), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(post("/models", load), StartsWith("HTTP/1.1 409 Conflict"));
  std::string request = picture_request();
  request.replace(request.find("/invocations"), 12, "/models/0f4a/invoke");
  EXPECT_THAT(ask(port, request), HasSubstr("[["));
  EXPECT_THAT(ask(port, "DELETE /models/0f4a HTTP/1.1\r\nHost: a\r\n\r\n"),
              StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(ask(port, request), StartsWith("HTTP/1.1 404 Not Found"));
  server.signal(SIGTERM);
  EXPECT_EQ(server.finish().code, 0);
}

TEST_F(ServeTest, AnEndpointHasRoomForSoManyModels) {
  const std::filesystem::path base = folder() / "ml";
  RunningServer server({"--multi-model", base / "models", "--port", "0", "--max-memory-mb", "1"});
  const std::uint16_t port = server.wait_until_ready();
  std::filesystem::create_directories(base / "models");
  std::filesystem::rename(model(), base / "models/one");
  EXPECT_THAT(ask(port,
                  "POST /models HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\n"
                  R"({"model_name": "one", "url": "one"} )"),
              StartsWith("HTTP/1.1 507 Insufficient Storage"));
}

TEST_F(ServeTest, ModelsThatTakeTooLongToLoadEndTheServer) {
  RunningServer server({model(), "--port", "0", "--startup-time-ms", "1", "--max-batch", "4096"});
  const ProcessResult result = server.finish();
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("--startup-time-ms 1"));
}

TEST_F(ServeTest, WhatCannotBeServedIsOneLine) {
  const std::string good = model();
  const std::string cut = path("cut");
  std::filesystem::copy(good, cut);
  std::filesystem::resize_file(cut + "/model.safetensors", 1000);
  const std::string empty = path("empty");
  std::filesystem::create_directories(empty);
  struct Case {
    std::vector<std::string> words;
    int code;
    const char* text;
  };
  for (const Case& c :
       {Case{words(cut), 1, "model.safetensors: is not the file that"},
        Case{words(empty), 1, "holds no model"}, Case{words(path("nothing")), 1, "is not a folder"},
        Case{words(good, {"--device", "cuda"}), 1, "--device cuda: "},
        Case{{good, "--address", "x"}, 2, "is no IPv4 address"},
        Case{words(good, {"--name", "a b"}), 1, "does not do for an address"},
        Case{words(good, {"--default-accept", "image/png"}), 2,
             "--default-accept: is image/png, which no result is written as; use application/json"},
        Case{words(good, {"--default-accept", "image/png", "--allow-plugins", "--device", "cuda"}),
             1, "--device cuda: "}}) {
    RunningServer server(c.words);
    const ProcessResult end = server.finish();
    EXPECT_EQ(end.code, c.code) << end.err;
    EXPECT_EQ(end.out, "");
    EXPECT_THAT(end.err, HasSubstr("kiln serve: "));
    EXPECT_THAT(end.err, HasSubstr(c.text));
  }
}

TEST_F(ServeTest, APortThatIsTakenIsOneLine) {
  const std::string directory = model();
  RunningServer first(words(directory));
  const std::string port = std::to_string(first.wait_until_ready());
  RunningServer second({directory, "--address", "127.0.0.1", "--port", port});
  const ProcessResult end = second.finish();
  EXPECT_EQ(end.code, 1);
  EXPECT_THAT(end.err, HasSubstr(port + ": cannot listen: "));
}

TEST_F(ServeTest, HoldsMoreConnectionsThanTheSystemAllowsAtFirst) {
  constexpr int kConnections = 100;
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const std::string directory = model();
  const rlimit few{.rlim_cur = 64, .rlim_max = files.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  RunningServer server(words(directory, {"--max-connections", std::to_string(kConnections)}));
  const std::uint16_t port = server.wait_until_ready();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kConnections; ++i) clients.push_back(std::make_unique<Client>(port));
  EXPECT_THAT(Client(port).read_all(), StartsWith("HTTP/1.1 503 "));
  clients.back()->send(picture_request());
  EXPECT_THAT(clients.back()->read_until("]]"), StartsWith("HTTP/1.1 200 "));
}

// Nor does its number go to a socket, which would then get the ready line.
TEST_F(ServeTest, AClosedStandardOutputIsNoFault) {
  RunningServer server(words(model()), {}, RunningServer::Output::closed);
  const std::uint16_t port = server.wait_until_listening();
  ASSERT_TRUE(server.wait_for_log("standard output: cannot write that the server is ready: "));
  EXPECT_THAT(get(port, "/ping"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(port, picture_request()), StartsWith("HTTP/1.1 200 "));
  server.signal(SIGTERM);
  EXPECT_EQ(server.finish().code, 0);
}

TEST_F(ServeTest, ThePlanOfSettingsIsPrintedWithoutServing) {
  RunningServer server({"nowhere", "--print-config", "--port", "7"}, {"KILN_MAX_BATCH=9"});
  const ProcessResult end = server.finish();
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("flag --port"));
  EXPECT_THAT(end.out, HasSubstr("environment KILN_MAX_BATCH"));
  EXPECT_THAT(end.err, HasSubstr("what models say is not shown"));
  RunningServer wrong({"nowhere"}, {"KILN_NONSENSE=1"});
  EXPECT_EQ(wrong.finish().code, 2);
}

TEST_F(ServeTest, WhatAModelSaysIsPrintedUnlessTheOperatorSaysOtherwise) {
  const std::string directory = model();
  ModelCard card = read_model_card(directory + "/model.json");
  card.serving = {.max_batch = 7, .queue = 99};
  write_model_card(directory + "/model.json", card);
  RunningServer server({directory, "--print-config", "--queue", "50"});
  const ProcessResult end = server.finish();
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_THAT(end.out, testing::ContainsRegex("max-batch of lenet/1 +7 +[^ ]*model.json\n"));
  EXPECT_THAT(end.out, testing::ContainsRegex("queue +50 +flag --queue\n"));
  EXPECT_THAT(end.out, testing::Not(HasSubstr("queue of"))) << "a flag is stronger";
}

TEST_F(ServeTest, SigtermUnderLoadFailsNoRequest) {
  RunningServer server(words(model(), {"--drain-idle-ms", "20000"}));
  const std::uint16_t port = server.wait_until_ready();
  constexpr int kConnections = 16, kRequests = kWithSanitizer ? 2'000 : 10'000;
  Load load;
  {
    std::vector<std::thread> clients;
    for (int i = 0; i < kConnections; ++i) clients.emplace_back([&] { load.run(port); });
    while (load.answered < kRequests && load.failed == 0) std::this_thread::yield();
    server.signal(SIGTERM);
    for (std::thread& client : clients) client.join();
  }
  EXPECT_EQ(load.failed, 0);
  EXPECT_GE(load.answered, kRequests);
  const ProcessResult end = server.finish();
  EXPECT_EQ(end.code, 0) << end.err;
}

TEST_F(ServeTest, ReloadsUnderLoadFailNoRequest) {
  const std::string directory = path("served");
  std::filesystem::rename(model(), directory);
  RunningServer server(words(directory, {"--watch-ms", "0"}));
  const std::uint16_t port = server.wait_until_ready();
  constexpr int kReloads = kWithSanitizer ? 20 : 100;
  constexpr int kRequests = kWithSanitizer ? 2'000 : 10'000;
  Load load;
  {
    const LoadThreads clients(load, port, 16);
    for (int i = 0; i < kReloads; ++i) {
      exchange(directory, 2 + static_cast<std::uint64_t>(i) % 2);
      server.signal(SIGHUP);
      const std::string text =
          "kiln_model_loads_total{outcome=\"loaded\"} " + std::to_string(i + 2) + "\n";
      for (int tries = 0; tries < 2000 && get(port, "/metrics").find(text) == text.npos; ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    while (load.answered < kRequests && load.failed == 0) std::this_thread::yield();
  }
  EXPECT_EQ(load.failed, 0);
  EXPECT_GE(load.answered, kRequests);
  EXPECT_THAT(get(port, "/metrics"), HasSubstr("kiln_model_loads_total{outcome=\"loaded\"} " +
                                               std::to_string(kReloads + 1)));
}

TEST_F(ServeTest, AHundredReloadsLeaveNoMemoryBehind) {
  if (kWithSanitizer) GTEST_SKIP() << "a sanitizer keeps what was freed";
  const std::string directory = path("served");
  std::filesystem::rename(model(), directory);
  RunningServer server(words(directory, {"--watch-ms", "0"}));
  const std::uint16_t port = server.wait_until_ready();
  const auto reload = [&](int count) {
    for (int i = 0; i < count; ++i) {
      const std::string loads = body_of(get(port, "/metrics"));
      exchange(directory, 2 + static_cast<std::uint64_t>(i) % 2);
      server.signal(SIGHUP);
      const auto loaded = [](const std::string& page) {
        const std::size_t at = page.find("outcome=\"loaded\"} ");
        return page.substr(at, page.find('\n', at) - at);
      };
      for (int tries = 0; tries < 2000 && loaded(body_of(get(port, "/metrics"))) == loaded(loads);
           ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT_THAT(ask(port, picture_request()), StartsWith("HTTP/1.1 200 "));
  };
  reload(10);  // what the first ones allocate for good
  const long before = server.resident_kilobytes();
  reload(100);
  EXPECT_LE(server.resident_kilobytes() - before, 1024);
}

TEST_F(ServeTest, AModelThatChangesIsTakenWithoutASignal) {
  const std::string directory = path("served");
  std::filesystem::rename(model(), directory);
  RunningServer server(words(directory, {"--watch-ms", "20"}));
  const std::uint16_t port = server.wait_until_ready();
  const std::string before = body_of(ask(port, picture_request()));
  exchange(directory, 2);
  std::string after = before;
  for (int tries = 0; tries < 1000 && after == before; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    after = body_of(ask(port, picture_request()));
  }
  EXPECT_NE(after, before);
}

TEST_F(ServeTest, ABadModelIsLoggedAndTheOldOneGoesOn) {
  const std::string directory = path("served");
  std::filesystem::rename(model(), directory);
  RunningServer server(words(directory, {"--watch-ms", "0"}));
  const std::uint16_t port = server.wait_until_ready();
  const std::string before = body_of(ask(port, picture_request()));
  std::filesystem::resize_file(directory + "/model.safetensors", 100);
  server.signal(SIGHUP);
  EXPECT_TRUE(server.wait_for_log("warning: not loaded: "));
  EXPECT_EQ(body_of(ask(port, picture_request())), before);
  EXPECT_THAT(get(port, "/ping"), StartsWith("HTTP/1.1 200 "));
}

// Models whose loading ends when the test says so.
class GateTest : public ServeTest {
 protected:
  void SetUp() override {
    ServeTest::SetUp();
    model_ = model();
    std::filesystem::copy_file(KILN_GATE_PLUGIN, model_ / "libgate.so");
    ModelCard card = read_model_card(model_ / kCardFile);
    card.serving.plugin = "libgate.so";
    write_model_card(model_ / kCardFile, card);
    ASSERT_EQ(::mkfifo(gate().c_str(), 0600), 0);
  }
  std::filesystem::path gate() const { return model_ / "gate"; }
  std::vector<std::string> gate_words(std::vector<std::string> more = {}) const {
    more.emplace_back("--allow-plugins");
    return words(model_, std::move(more));
  }

 private:
  std::filesystem::path model_;
};

TEST_F(GateTest, PingSays503UntilTheModelIsLoaded) {
  RunningServer server(gate_words());
  const std::uint16_t port = server.wait_until_listening();
  EXPECT_THAT(get(port, "/ping"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(get(port, "/v2/health/ready"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(get(port, "/v2/health/live"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(port, picture_request()), StartsWith("HTTP/1.1 503 "));
  std::ofstream(gate()).close();  // waits for the plug-in at the other end
  EXPECT_EQ(server.wait_until_ready(), port);
  EXPECT_THAT(get(port, "/ping"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(port, picture_request()), StartsWith("HTTP/1.1 200 "));
}

TEST_F(GateTest, AModelThatIsNeverLoadedEndsTheServer) {
  RunningServer server(gate_words({"--startup-time-ms", "100"}));
  const ProcessResult end = server.finish();
  EXPECT_EQ(end.code, 1);
  EXPECT_EQ(end.out, "");
  EXPECT_THAT(end.err, HasSubstr("not loaded within --startup-time-ms 100"));
}

TEST_F(ServeTest, WhileDrainingPingSays503AndRequestsAreAnswered) {
  RunningServer server(words(model(), {"--drain-delay-ms", "60000"}));
  const std::uint16_t port = server.wait_until_ready();
  server.signal(SIGTERM);
  ASSERT_TRUE(server.wait_for_log("SIGTERM: no new connections"));
  std::string ping = get(port, "/ping");
  for (int tries = 0; tries < 1000 && !ping.starts_with("HTTP/1.1 503 "); ++tries)
    ping = get(port, "/ping");
  EXPECT_THAT(ping, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(ask(port, picture_request()), StartsWith("HTTP/1.1 200 "));
  server.signal(SIGTERM);
  const ProcessResult end = server.finish();
  EXPECT_EQ(end.code, 143) << "a second signal ends it at once";
  EXPECT_THAT(end.err, HasSubstr("ended at once"));
}

TEST_F(ServeTest, ServesFromTheKernelsOfAnotherDevice) {
  const std::string directory = model();
  RunningServer cpu(words(directory));
  RunningServer emu(words(directory, {"--device", "emu", "--max-batch", "1"}));
  const std::string reply = ask(emu.wait_until_ready(), picture_request());
  ASSERT_THAT(reply, StartsWith("HTTP/1.1 200 "));
  const auto first = [](const std::string& body) { return std::atof(body.c_str() + 2); };
  EXPECT_NEAR(first(body_of(reply)), first(body_of(ask(cpu.wait_until_ready(), picture_request()))),
              1e-4);
}

}  // namespace
}  // namespace kiln::test
