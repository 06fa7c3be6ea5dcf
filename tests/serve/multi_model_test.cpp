// SageMaker's multi-model endpoints: what comes, what is refused, and what is free again.
#include "engine/serve/multi_model.h"

#include <atomic>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/payload/refusal.h"
#include "engine/serve/load_request.h"
#include "engine/serve/service.h"
#include "tests/infer/model_folder.h"
#include "tests/serve/service_client.h"
#include "tests/support/temp_folder.h"

namespace kiln::serve {
namespace {

using http::HttpReply;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class MultiModelTest : public TempFolderTest {
 protected:
  void SetUp() override {
    TempFolderTest::SetUp();
    for (const char* name : {"a", "b", "c"})
      test::write_model(folder() / "models" / name / "model", lenet(), 1);
    options_.root = folder() / "models";
    options_.resident_bytes = [this] { return resident_.load(); };
  }
  void TearDown() override {
    for (const auto& model : table_.all()) model->batcher->stop();
    service_.reset();
    models_.reset();
    TempFolderTest::TearDown();
  }

  HttpReply ask(const std::string& method, const std::string& target, const std::string& body = "",
                std::vector<http::HttpField> fields = {}) {
    if (!service_) {
      models_ = std::make_unique<MultiModel>(table_, loader_, options_, log_);
      service_ = std::make_unique<Service>(table_, ServiceOptions{.models = models_.get()});
      service_->set_ready(true);
    }
    return client_.ask(*service_, {method, target, body, std::move(fields)});
  }
  std::string url(const std::string& name) const {
    return (folder() / "models" / name / "model").string();
  }
  HttpReply load(const std::string& name, const std::string& from) {
    return ask("POST", "/models", json{{"model_name", name}, {"url", from}}.dump());
  }
  HttpReply invoke(const std::string& encoded_name) {
    return ask("POST", "/models/" + encoded_name + "/invoke", std::string(3072, 'p'),
               {{"Content-Type", "application/octet-stream"}});
  }
  std::vector<std::string> listed(const std::string& query = "") {
    std::vector<std::string> names;
    const json page = json::parse(ask("GET", "/models" + query).body);
    for (const json& model : page.at("models")) names.push_back(model.at("modelName"));
    return names;
  }

  MultiModelOptions options_;
  std::atomic<std::uint64_t> resident_{0};
  Log log_{stderr, LogLevel::quiet};
  ModelTable table_;
  ModelLoader loader_{{.executor_count = 1, .any_name = true}, log_};
  std::unique_ptr<MultiModel> models_;
  ServiceClient client_;
  std::unique_ptr<Service> service_;
};

TEST_F(MultiModelTest, AModelComesAnswersAndGoes) {
  EXPECT_EQ(ask("GET", "/ping").status, 200) << "with no model";
  EXPECT_EQ(ask("GET", "/models").body, "{\"models\": []}\n");
  EXPECT_EQ(invoke("a").status, 404);
  const HttpReply loaded = load("a", url("a"));
  EXPECT_EQ(loaded.status, 200) << loaded.body;
  const json want = {{"modelName", "a"}, {"modelUrl", url("a")}};
  EXPECT_EQ(json::parse(ask("GET", "/models/a").body), want);
  EXPECT_EQ(json::parse(ask("GET", "/models").body), json({{"models", {want}}}));
  const HttpReply answer = invoke("a");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_THAT(answer.body, HasSubstr("[["));
  EXPECT_EQ(load("a", url("b")).status, 409);
  EXPECT_EQ(load("b", url("b")).status, 200);
  EXPECT_EQ(ask("DELETE", "/models/a").status, 200);
  EXPECT_EQ(ask("DELETE", "/models/a").status, 404);
  EXPECT_EQ(ask("GET", "/models/a").status, 404);
  EXPECT_EQ(invoke("a").status, 404);
  EXPECT_EQ(invoke("b").status, 200);
  EXPECT_EQ(load("a", url("a")).status, 200) << "it may come again";
}

TEST_F(MultiModelTest, AnUnloadedModelIsFreeBeforeTheReply) {
  ASSERT_EQ(load("a", url("a")).status, 200);
  ASSERT_EQ(invoke("a").status, 200);
  const std::weak_ptr<const ServedModel> model = table_.find("a");
  ASSERT_FALSE(model.expired());
  ASSERT_EQ(ask("DELETE", "/models/a").status, 200);
  EXPECT_TRUE(model.expired());
}

TEST_F(MultiModelTest, ANameIsAnyText) {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"a/b c", "a%2Fb%20c"},
      {"x/invoke", "x%2Finvoke"},
      {"50%", "50%25"},
      {"\xc3\xa9\xe2\x82\xac", "%C3%A9%e2%82%ac"},
      {"quote\"back\\", "quote%22back%5c"},
      {std::string("nul\0newline\n", 12), "nul%00newline%0A"},
      {"../../etc", "..%2F..%2Fetc"},
      {"sha256:0f+", "sha256:0f+"},
      {std::string(1024, 'n'), std::string(1024, 'n')}};
  for (const auto& [name, encoded] : names) {
    SCOPED_TRACE(encoded);
    EXPECT_EQ(load(name, url("a")).status, 200);
    EXPECT_EQ(load(name, url("a")).status, 409);
    EXPECT_EQ(invoke(encoded).status, 200);
    EXPECT_EQ(json::parse(ask("GET", "/models/" + encoded).body).at("modelName"), name);
    EXPECT_EQ(ask("DELETE", "/models/" + encoded).status, 200);
  }
  EXPECT_TRUE(listed().empty());
  expect_error(ask("GET", "/models/%zz"), 400, "percent-encoded");
  expect_error(invoke("%f"), 404, "no model");
}

TEST_F(MultiModelTest, TheListComesInPages) {
  for (const char* name : {"m1", "m2", "m3"}) ASSERT_EQ(load(name, url("a")).status, 200);
  EXPECT_THAT(listed(), testing::ElementsAre("m1", "m2", "m3"));
  const json first = json::parse(ask("GET", "/models?limit=2").body);
  EXPECT_EQ(first.at("models").size(), 2u);
  const std::string token = first.at("nextPageToken");
  EXPECT_THAT(listed("?limit=2&next_page_token=" + token), testing::ElementsAre("m3"));
  EXPECT_EQ(ask("DELETE", "/models/m2").status, 200);
  EXPECT_THAT(listed("?next_page_token=" + token), testing::ElementsAre("m3"))
      << "the model that the page ended with has gone";
  EXPECT_FALSE(json::parse(ask("GET", "/models?limit=2").body).contains("nextPageToken"));
  EXPECT_EQ(listed("?limit=1000&other=1").size(), 2u);
  for (const char* query : {"?limit=0", "?limit=-1", "?limit=x", "?limit=", "?next_page_token=xy",
                            "?next_page_token=123"})
    EXPECT_EQ(ask("GET", std::string("/models") + query).status, 400) << query;
}

TEST_F(MultiModelTest, WhatCannotBeLoadedIsRefusedWithItsReason) {
  std::filesystem::create_directories(folder() / "models/empty");
  std::filesystem::create_directories(folder() / "elsewhere");
  test::write_model(folder() / "elsewhere/model", lenet(), 1);
  std::filesystem::create_symlink(folder() / "elsewhere/model", folder() / "models/link");
  test::write_model(folder() / "models/broken", lenet(), 1);
  std::filesystem::resize_file(folder() / "models/broken" / kWeightsFile, 100);
  expect_error(load("x", url("none")), 404, "no such folder");
  expect_error(load("x", (folder() / "models/empty").string()), 400, "holds no model");
  expect_error(load("x", folder() / "elsewhere/model"), 400, "does not lie below");
  expect_error(load("x", folder() / "models/link"), 400, "does not lie below");
  expect_error(load("x", folder() / "models/a/../../elsewhere/model"), 400, "does not lie below");
  expect_error(load("x", options_.root.string()), 400, "does not lie below");
  const HttpReply broken = load("x", folder() / "models/broken");
  expect_error(broken, 400, "url/model.safetensors");
  EXPECT_THAT(broken.body, Not(HasSubstr(folder().string())));
  EXPECT_TRUE(listed().empty());
  for (const char* body :
       {"", "{", "[]", "{}", R"({"model_name": "x"})", R"({"url": "a"})",
        R"({"model_name": "", "url": "a"})", R"({"model_name": 1, "url": "a"})",
        R"({"model_name": "x", "model_name": "y", "url": "a"})", "{\"model_name\": \"\xff\"}"})
    EXPECT_EQ(ask("POST", "/models", body).status, 400) << body;
  EXPECT_EQ(load(std::string(1025, 'n'), url("a")).status, 400);
  EXPECT_EQ(load("x", "a/model").status, 200) << "a url may begin at the folder of models";
}

TEST_F(MultiModelTest, NoRoomIs507AndUnloadingMakesSome) {
  options_.model_count = 2;
  EXPECT_EQ(load("a", url("a")).status, 200);
  EXPECT_EQ(load("b", url("b")).status, 200);
  expect_error(load("c", url("c")), 507, "as many models");
  EXPECT_EQ(ask("DELETE", "/models/a").status, 200);
  EXPECT_EQ(load("c", url("c")).status, 200);
}

TEST_F(MultiModelTest, MemoryIsHeldToItsLimit) {
  options_.memory_bytes = 1000'000;
  resident_ = 1000'000 - 1000;  // the weights have more
  expect_error(load("a", url("a")), 507, "no memory");
  EXPECT_EQ(table_.find("a"), nullptr);
  resident_ = 1000;
  EXPECT_EQ(load("a", url("a")).status, 200);
  resident_ = 1000'001;
  EXPECT_EQ(invoke("a").status, 200) << "what is loaded answers on";
  EXPECT_EQ(load("b", url("b")).status, 507);
}

TEST_F(MultiModelTest, AModelThatTurnsOutTooLargeIsTakenBack) {
  options_.memory_bytes = 1000'000;
  int asked = 0;
  options_.resident_bytes = [&] { return ++asked == 1 ? 0u : 2'000'000u; };
  expect_error(load("a", url("a")), 507, "no memory");
  EXPECT_EQ(asked, 2) << "before and after";
  EXPECT_EQ(table_.find("a"), nullptr);
  EXPECT_TRUE(listed().empty());
}

TEST_F(MultiModelTest, OtherMethodsAreToldWhichOnesThereAre) {
  expect_error(ask("PUT", "/models"), 405, "GET, HEAD, POST");
  expect_error(ask("POST", "/models/a"), 405, "GET, HEAD, DELETE");
  expect_error(ask("GET", "/models/a/invoke"), 405, "POST");
  EXPECT_EQ(ask("GET", "/modelsx").status, 404);
}

TEST(MultiModelPaths, ThereAreNoneWithoutTheMode) {
  const ModelTable table;
  Service service(table, {});
  ServiceClient client;
  EXPECT_EQ(client.ask(service, {"GET", "/models", "", {}}).status, 404);
  EXPECT_EQ(client.ask(service, {"GET", "/execution-parameters", "", {}}).status, 404);
  Service batch(table, {.execution_parameters = "{}\n"});
  EXPECT_EQ(client.ask(batch, {"GET", "/execution-parameters", "", {}}).body, "{}\n");
}

TEST(ProcessMemory, IsTold) {
  EXPECT_GT(resident_bytes(), 100'000u);
  EXPECT_LT(resident_bytes(), allowed_bytes());
}

}  // namespace
}  // namespace kiln::serve
