#include "engine/serve/service.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <thread>

#include "tests/serve/service_client.h"

namespace kiln::serve {
namespace {

using http::HttpReply;
using testing::HasSubstr;
using testing::StartsWith;

// Pictures of 1 x 2 x 3; the result is the sum of all numbers, and the first one. A first number of
// 13 throws.
constexpr payload::PictureShape kShape{1, 2, 3};

class SumExecutor : public Executor {
 public:
  explicit SumExecutor(std::shared_ptr<std::mutex> hold = nullptr) : hold_(std::move(hold)) {}
  std::int64_t max_batch() const override { return 4; }
  std::int64_t output_size() const override { return 2; }
  void load(std::int64_t row, const payload::Pictures& pictures, std::int64_t first,
            std::int64_t count) override {
    const auto size = static_cast<std::size_t>(kShape.size());
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      const std::size_t from = (static_cast<std::size_t>(first) + i) * size;
      float* result = &results_.at(2 * (static_cast<std::size_t>(row) + i));
      const auto add = [&](const auto& all) {
        ASSERT_LE(from + size, all.size());
        result[1] = static_cast<float>(all[from]);
        result[0] = 0;
        for (std::size_t k = 0; k < size; ++k) result[0] += static_cast<float>(all[from + k]);
      };
      pictures.values.empty() ? add(pictures.pixels()) : add(pictures.values);
    }
  }
  void run(std::int64_t) override {
    if (hold_) const std::lock_guard wait(*hold_);
    if (results_[1] == 13) throw std::runtime_error("planted");
  }
  std::span<const float> outputs(std::int64_t row, std::int64_t count) const override {
    return std::span(results_).subspan(static_cast<std::size_t>(2 * row),
                                       static_cast<std::size_t>(2 * count));
  }

 private:
  std::vector<float> results_ = std::vector<float>(8);
  std::shared_ptr<std::mutex> hold_;
};

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.version = "1.2.3";
    add_model("sum", "7", true);
  }
  // Batchers first: their waiters use what the service shares.
  void TearDown() override {
    for (const auto& model : models_.all()) model->batcher->stop();
  }

  std::shared_ptr<ServedModel> make_model(const std::string& name, const std::string& version,
                                          bool with_inline, std::int64_t queue = 100) {
    auto model = std::make_shared<ServedModel>();
    model->identity = std::make_shared<ModelIdentity>(
        ModelIdentity{.name = name, .version = version, .shape = kShape, .classes = {"a", "b"}});
    model->metrics = std::make_shared<BatcherMetrics>(4);
    std::vector<std::unique_ptr<Executor>> executors;
    executors.push_back(std::make_unique<SumExecutor>(hold_));
    model->batcher =
        std::make_unique<Batcher>(BatcherOptions{.queue_pictures = queue}, std::move(executors),
                                  with_inline ? std::make_unique<SumExecutor>() : nullptr,
                                  *model->metrics, [](std::string_view) {});
    return model;
  }
  void add_model(const std::string& name, const std::string& version, bool with_inline,
                 std::int64_t queue = 100) {
    models_.put(make_model(name, version, with_inline, queue));
  }
  Service& service() {
    if (!service_) {
      service_ = std::make_unique<Service>(models_, options_);
      service_->set_ready(true);
    }
    return *service_;
  }

  std::optional<HttpReply> send(const Asked& asked) { return client_.send(service(), asked); }
  HttpReply wait() { return client_.wait(); }
  HttpReply ask(const Asked& asked) { return client_.ask(service(), asked); }
  HttpReply invoke(const std::string& type, const std::string& body,
                   std::vector<http::HttpField> more = {}) {
    more.push_back({"Content-Type", type});
    return ask({"POST", "/invocations", body, std::move(more)});
  }
  HttpReply infer(const std::string& path) {
    return ask({"POST",
                path,
                R"({"inputs": [{"name": "input", "shape": [1, 1, 2, 3], "datatype": "FP32",
                    "data": [1, 2, 3, 4, 5, 6]}]})",
                {{"Content-Type", "application/json"}}});
  }

  std::shared_ptr<std::mutex> hold_ = std::make_shared<std::mutex>();
  ModelTable models_;
  ServiceOptions options_;
  ServiceClient client_;
  std::unique_ptr<Service> service_;
};

TEST_F(ServiceTest, AnswersPicturesInEveryType) {
  EXPECT_EQ(invoke("application/json", "[[[[1, 2]], [[3, 4]], [[5, 6]]]]").body, "[[21.0, 1.0]]");
  EXPECT_EQ(invoke("application/json; charset=utf-8", "{\"instances\": [[1, 2, 3, 4, 5, 6]]}").body,
            "{\"predictions\": [[21.0, 1.0]]}");
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6\n2,2,2,2,2,2\n", {{"Accept", "text/csv"}}).body,
            "21.0,1.0\n12.0,2.0\n");
  const HttpReply npy = invoke("application/octet-stream", "\x01\x02\x03\x04\x05\x06",
                               {{"Accept", "application/x-npy"}});
  EXPECT_EQ(npy.status, 200);
  EXPECT_EQ(npy.content_type, "application/x-npy");
  EXPECT_THAT(npy.body, StartsWith("\x93NUMPY"));
  EXPECT_EQ(npy.body.size(), 128 + 2 * 8u);
}

TEST_F(ServiceTest, AClientThatTakesAnythingGetsTheDefault) {
  options_.default_accept = "text/csv";
  for (const char* accept : {"*/*", "*/*;q=0.8", "text/html, */*;q=0.1"})
    EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6", {{"Accept", accept}}).content_type, "text/csv")
        << accept;
}

TEST_F(ServiceTest, ChannelsOfJsonComeFirst) {
  // [C,H,W] = [3,1,2]; the first number in memory is that of channel 0, the second of channel 1.
  EXPECT_EQ(invoke("application/json", "[[[9, 2]], [[3, 4]], [[5, 6]]]").body, "[[29.0, 9.0]]");
}

struct Wrong {
  const char* name;
  Asked asked;
  int status;
  const char* words;
};

TEST_F(ServiceTest, RefusesWithTheRightStatusAndOneLineOfJson) {
  const std::vector<http::HttpField> json = {{"Content-Type", "application/json"}};
  const std::vector<Wrong> rows = {
      {"unknown path", {"GET", "/nothing", "", {}}, 404, "nothing at this path"},
      {"root", {"POST", "/", "", {}}, 405, "GET, HEAD"},
      {"unknown model", {"GET", "/v2/models/other", "", {}}, 404, "no model of this name"},
      {"no model name", {"GET", "/v2/models/", "", {}}, 404, "no model of this name"},
      {"unknown version", {"GET", "/v2/models/sum/versions/8", "", {}}, 404, "no such version"},
      {"no version", {"GET", "/v2/models/sum/versions", "", {}}, 404, "no such version"},
      {"unknown verb", {"GET", "/v2/models/sum/explain", "", {}}, 404, "nothing at this path"},
      {"more path", {"POST", "/v2/models/sum/infer/x", "{}", json}, 404, "nothing at this path"},
      {"POST ping", {"POST", "/ping", "", {}}, 405, "GET, HEAD"},
      {"GET invocations", {"GET", "/invocations", "", {}}, 405, "POST"},
      {"GET infer", {"GET", "/v2/models/sum/infer", "", {}}, 405, "POST"},
      {"DELETE model", {"DELETE", "/v2/models/sum", "", {}}, 405, "GET, HEAD"},
      {"no type", {"POST", "/invocations", "[1]", {}}, 415, ""},
      {"unknown type", {"POST", "/invocations", "x", {{"Content-Type", "a/b"}}}, 415, ""},
      {"bad JSON", {"POST", "/invocations", "[1,", json}, 400, ""},
      {"wrong shape", {"POST", "/invocations", "[1, 2]", json}, 400, ""},
      {"bad inference", {"POST", "/v2/models/sum/infer", "{}", json}, 400, ""},
      {"not a PNG", {"POST", "/invocations", "x", {{"Content-Type", "image/png"}}}, 400, ""},
      {"unknown reply",
       {"POST",
        "/invocations",
        "[1]",
        {{"Content-Type", "application/json"}, {"Accept", "image/png"}}},
       406,
       "application/x-npy"},
  };
  for (const Wrong& row : rows) {
    SCOPED_TRACE(row.name);
    expect_error(ask(row.asked), row.status, row.words);
  }
}

TEST_F(ServiceTest, PingTellsTheTruth) {
  EXPECT_EQ(ask({"GET", "/ping", "", {}}).status, 200);
  EXPECT_EQ(ask({"HEAD", "/ping?x=1", "", {}}).status, 200);
  EXPECT_EQ(ask({"GET", "/v2/health/ready", "", {}}).status, 200);
  service().set_ready(false);
  EXPECT_EQ(ask({"GET", "/ping", "", {}}).status, 503);
  EXPECT_EQ(ask({"GET", "/v2/health/ready", "", {}}).status, 503);
  EXPECT_EQ(ask({"GET", "/v2/models/sum/ready", "", {}}).status, 503);
  EXPECT_EQ(ask({"GET", "/v2/health/live", "", {}}).status, 200) << "it lives";
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6").status, 200)
      << "what comes while draining is answered";
}

TEST_F(ServiceTest, NoModelAnswersBeforeAllAreLoaded) {
  service_ = std::make_unique<Service>(models_, options_);
  const std::vector<http::HttpField> csv = {{"Content-Type", "text/csv"}};
  for (const Asked& asked : {Asked{"POST", "/invocations", "1,2,3,4,5,6", csv},
                             Asked{"GET", "/v2/models/sum/ready", "", {}},
                             Asked{"GET", "/v2/models/to_come/ready", "", {}},
                             Asked{"POST", "/v2/models/to_come/infer", "{}", {}}}) {
    SCOPED_TRACE(asked.target);
    expect_error(ask(asked), 503, "not ready");
  }
  service_->set_ready(true);
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6").status, 200);
  EXPECT_EQ(ask({"GET", "/v2/models/to_come/ready", "", {}}).status, 404);
}

TEST_F(ServiceTest, SpeaksTheInferenceProtocol) {
  EXPECT_THAT(ask({"GET", "/v2", "", {}}).body, HasSubstr("1.2.3"));
  EXPECT_THAT(ask({"GET", "/v2/models/sum/versions/7", "", {}}).body, HasSubstr("\"sum\""));
  const std::string body =
      R"({"id":"42","inputs":[{"name":"input","shape":[1,3,1,2],"datatype":"UINT8","data":[1,2,3,4,5,6]}]})";
  const HttpReply reply = ask({"POST", "/v2/models/sum/versions/7/infer", body, {}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, HasSubstr("\"id\""));
  EXPECT_THAT(reply.body, HasSubstr("21"));
  const std::string json =
      R"({"inputs":[{"name":"input","shape":[1,3,1,2],"datatype":"UINT8","parameters":{"binary_data_size":6}}],)"
      R"("parameters":{"binary_data_output":true}})";
  const HttpReply binary =
      ask({"POST",
           "/v2/models/sum/infer",
           json + "\x01\x02\x03\x04\x05\x06",
           {{"Inference-Header-Content-Length", std::to_string(json.size())}}});
  EXPECT_EQ(binary.status, 200);
  EXPECT_EQ(binary.content_type, "application/octet-stream");
  const std::string length = field(binary, "Inference-Header-Content-Length");
  ASSERT_FALSE(length.empty());
  EXPECT_EQ(binary.body.size(), std::stoul(length) + 2 * sizeof(float));
}

TEST_F(ServiceTest, WhatCannotBeComputedNowIsDeferred) {
  std::unique_lock held(*hold_);
  EXPECT_EQ(
      send({"POST", "/invocations", "1,2,3,4,5,6\n1,1,1,1,1,1", {{"Content-Type", "text/csv"}}}),
      std::nullopt)
      << "two pictures go to the batcher";
  held.unlock();
  EXPECT_EQ(wait().body, "[[21.0, 1.0], [6.0, 1.0]]");
}

TEST_F(ServiceTest, NoRequestReadsItsBodyWhenThatIsGone) {
  const Asked one{"POST",
                  "/invocations",
                  "\x01\x02\x03\x04\x05\x06",
                  {{"Content-Type", "application/octet-stream"}}};
  Asked two = one;
  two.body += "\x01\x01\x01\x01\x01\x01";
  for (const bool lasts : {false, true}) {
    client_.set_body_lasts(lasts);
    options_.inline_body_bytes = 32;
    service_.reset();
    EXPECT_EQ(ask(one).body, "[[21.0, 1.0]]");
    std::unique_lock held(*hold_);
    EXPECT_EQ(send(two), std::nullopt) << "goes to the batcher, which is busy";
    held.unlock();
    EXPECT_EQ(wait().body, "[[21.0, 1.0], [6.0, 1.0]]");
    options_.inline_body_bytes = 4;
    service_.reset();
    EXPECT_EQ(ask(one).body, "[[21.0, 1.0]]") << "by a worker";
  }
}

TEST_F(ServiceTest, LargeBodiesGoToWorkers) {
  options_.inline_body_bytes = 4;
  const HttpReply reply = invoke("text/csv", "1,2,3,4,5,6", {{"X-Request-Id", "abc"}});
  EXPECT_NE(client_.last(), nullptr);
  EXPECT_EQ(reply.body, "[[21.0, 1.0]]");
  EXPECT_EQ(field(reply, "X-Request-Id"), "abc");
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,x").status, 400);
}

TEST_F(ServiceTest, CustomAttributesComeBackWhereTheyAreAHeadersValue) {
  const auto echo = [&](const std::string& sent) {
    return field(invoke("text/csv", "1,2,3,4,5,6", {{"X-Amzn-SageMaker-Custom-Attributes", sent}}),
                 "X-Amzn-SageMaker-Custom-Attributes");
  };
  EXPECT_EQ(echo("trace=7; a, b"), "trace=7; a, b");
  EXPECT_EQ(echo(std::string(1024, 'a')), std::string(1024, 'a'));
  EXPECT_EQ(echo(std::string(1025, 'a')), "");
  EXPECT_EQ(echo("\xc3\xa9"), "");
  EXPECT_EQ(echo(""), "");
}

TEST_F(ServiceTest, AFullQueueIsTold) {
  models_.put(make_model("sum", "8", false, 1));
  std::unique_lock held(*hold_);
  const Asked one{"POST", "/invocations", "1,2,3,4,5,6", {{"Content-Type", "text/csv"}}};
  ASSERT_EQ(send(one), std::nullopt);
  const auto model = models_.find("sum");
  while (model->batcher->waiting_pictures() > 0) std::this_thread::yield();  // it computes
  ASSERT_EQ(send(one), std::nullopt);                                        // it waits
  ASSERT_EQ(send(one), std::nullopt);
  const HttpReply full = wait();
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(field(full, "Retry-After"), "1");
  held.unlock();
  EXPECT_EQ(wait().status, 200);
}

TEST_F(ServiceTest, AFailureIs500AndALateRequest504) {
  EXPECT_EQ(invoke("text/csv", "13,2,3,4,5,6").status, 500);
  const HttpReply both = invoke("text/csv", "13,2,3,4,5,6\n1,1,1,1,1,1");
  EXPECT_EQ(both.status, 500);
  EXPECT_THAT(both.body, Not(HasSubstr("planted"))) << "what an exception says stays in the log";
}

TEST_F(ServiceTest, ALateRequestIs504) {
  const auto model = make_model("sum", "7", true);
  model->request_time = std::chrono::milliseconds(5);
  models_.put(model)->batcher->stop();
  const std::lock_guard held(*hold_);
  EXPECT_EQ(invoke("text/csv", "1,1,1,1,1,1\n1,1,1,1,1,1").status, 504);
}

// Requests find a model while another thread puts a new one in its place and stops the old one.
TEST_F(ServiceTest, ReplacingAModelFailsNoRequest) {
  service();
  std::thread reload([&] {
    for (int i = 0; i < 200; ++i) models_.put(make_model("sum", "7", i % 2 == 0))->batcher->stop();
  });
  for (int i = 0; i < 1000; ++i) {
    const HttpReply reply = invoke("text/csv", "1,2,3,4,5,6\n1,1,1,1,1,1");
    ASSERT_EQ(reply.status, 200) << reply.body;
    ASSERT_EQ(reply.body, "[[21.0, 1.0], [6.0, 1.0]]");
  }
  reload.join();
}

TEST_F(ServiceTest, AModelThatOnlyStopsSaysSo) {
  models_.find("sum")->batcher->stop();
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6").status, 503);
}

TEST_F(ServiceTest, SeveralModelsAreToldApart) {
  add_model("other", "1", true);
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6").status, 404);
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6", {{"X-Amzn-SageMaker-Target-Model", "other"}}).status,
            200);
  models_.find("other")->batcher->stop();
  models_.remove("other", "1");
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6").status, 200);
  models_.find("sum")->batcher->stop();
  models_.remove("sum", "7");
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6").status, 503);
}

TEST_F(ServiceTest, VersionsAreToldApartAndTheNewestIsTheOneWithoutANumber) {
  add_model("sum", "10", true);
  EXPECT_THAT(ask({"GET", "/v2/models/sum", "", {}}).body, HasSubstr(R"("versions":["7","10"])"));
  EXPECT_THAT(infer("/v2/models/sum/infer").body, HasSubstr(R"("model_version":"10")"));
  EXPECT_THAT(infer("/v2/models/sum/versions/7/infer").body, HasSubstr(R"("model_version":"7")"));
  EXPECT_EQ(infer("/v2/models/sum/versions/9/infer").status, 404);
  EXPECT_EQ(invoke("text/csv", "1,2,3,4,5,6").status, 200);
  models_.find("sum", "7")->batcher->stop();
  models_.remove("sum", "7");
  EXPECT_EQ(infer("/v2/models/sum/versions/7/infer").status, 404);
  EXPECT_EQ(infer("/v2/models/sum/versions/10/infer").status, 200);
}

TEST_F(ServiceTest, AVersionThatIsTakenAwayFailsNoRequest) {
  service();
  std::thread reload([&] {
    for (int version = 8; version < 208; ++version) {
      add_model("sum", std::to_string(version), version % 2 == 0);
      models_.remove("sum", std::to_string(version - 1))->batcher->stop();
    }
  });
  for (int i = 0; i < 1000; ++i) {
    const HttpReply reply = infer("/v2/models/sum/infer");
    ASSERT_EQ(reply.status, 200) << reply.body;
  }
  reload.join();
  EXPECT_EQ(models_.remove("sum", "7"), nullptr);
  EXPECT_EQ(models_.remove("none", "7"), nullptr);
}

// Ten requests before the turn's end, of two models in turns; the fourth of them is refused at
// once.
TEST_F(ServiceTest, TheRequestsOfATurnAreComputedTogether) {
  const auto roomy = [&](const std::string& name) {
    auto model = make_model(name, "1", true);
    std::vector<std::unique_ptr<Executor>> executors;
    executors.push_back(std::make_unique<SumExecutor>(hold_));
    model->batcher = std::make_unique<Batcher>(
        BatcherOptions{.inline_pictures = 16, .inline_batch = 4}, std::move(executors),
        std::make_unique<SumExecutor>(), *model->metrics, [](std::string_view) {});
    models_.put(model);
    return model;
  };
  const auto first = roomy("first"), second = roomy("second");
  std::vector<std::string> bodies = {"1,1,1,1,1,1", "2,2,2,2,2,2", "3,3,3,3,3,3", "oops",
                                     "5,5,5,5,5,5", "6,6,6,6,6,6", "7,7,7,7,7,7", "8,8,8,8,8,8",
                                     "9,9,9,9,9,9", "4,4,4,4,4,4"};
  std::map<std::uint64_t, HttpReply> replies;
  for (std::uint64_t i = 0; i < bodies.size(); ++i) {
    const http::HttpHeader header{
        .method = "POST",
        .target = "/invocations",
        .fields = {{"Content-Type", "text/csv"},
                   {"X-Amzn-SageMaker-Target-Model", i % 2 == 0 ? "first" : "second"}}};
    const http::HttpRequest::Defer defer = [&] {
      return std::make_shared<http::DeferredReply>(client_.completions(), i);
    };
    http::HttpBody body(bodies[i]);
    http::HttpRequest request(header, body, Clock::now(), defer);
    if (auto reply = service().handle(request)) replies[i] = *reply;
  }
  EXPECT_EQ(replies.size(), 1u);
  service().finish_turn();
  for (auto& [id, reply] : client_.completions()->take()) replies[id] = reply;
  ASSERT_EQ(replies.size(), bodies.size());
  for (std::uint64_t i = 0; i < bodies.size(); ++i) {
    const int digit = bodies[i][0] - '0';
    if (i == 3)
      EXPECT_EQ(replies[i].status, 400);
    else
      EXPECT_EQ(replies[i].body,
                "[[" + std::to_string(6 * digit) + ".0, " + std::to_string(digit) + ".0]]");
  }
  EXPECT_EQ(first->metrics->pictures.value(), 5u);
  EXPECT_EQ(first->metrics->batch_pictures.read().count(), 2u) << "four and one";
  EXPECT_EQ(second->metrics->batch_pictures.read().count(), 1u);
}

TEST_F(ServiceTest, MetricsCountWhatHappened) {
  invoke("text/csv", "1,2,3,4,5,6");
  invoke("text/csv", "1,2,3,4,5,6\n1,1,1,1,1,1");
  invoke("text/csv", "oops");
  ask({"GET", "/nothing", "", {}});
  service().count_refusal(408);
  const HttpReply page = ask({"GET", "/metrics", "", {}});
  EXPECT_THAT(page.content_type, StartsWith("text/plain; version=0.0.4"));
  for (const char* line : {"kiln_requests_total{endpoint=\"invocations\",code=\"200\"} 2\n",
                           "kiln_requests_total{endpoint=\"invocations\",code=\"400\"} 1\n",
                           "kiln_requests_total{endpoint=\"other\",code=\"404\"} 1\n",
                           "kiln_requests_total{endpoint=\"refused\",code=\"408\"} 1\n",
                           "kiln_request_seconds_count{endpoint=\"invocations\"} 3\n",
                           "kiln_pictures_total{model=\"sum\",version=\"7\"} 3\n",
                           "kiln_batch_pictures_count{model=\"sum\",version=\"7\"} 2\n",
                           "kiln_model_loads_total{outcome=\"failed\"} 0\n",
                           "kiln_model_info{model=\"sum\",version=\"7\"} 1\n",
                           "kiln_build_info{version=\"1.2.3\"} 1\n", "kiln_ready 1\n"})
    EXPECT_THAT(page.body, HasSubstr(line));
}

}  // namespace
}  // namespace kiln::serve
