#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>

#include "engine/serve/service.h"
#include "engine/serve/ui/page_files.h"
#include "tests/serve/colour_model.h"
#include "tests/serve/service_client.h"

namespace kiln::serve {
namespace {

using http::HttpReply;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string image_file(const std::string& name) {
  const char* source = std::getenv("KILN_SOURCE_DIR");
  const std::string path =
      std::string(source != nullptr ? source : ".") + "/tests/fuzz/corpus/image/" + name;
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class DemoPageTest : public testing::Test {
 protected:
  void SetUp() override {
    models_.put(test::make_colour_model({.name = "colours",
                                         .version = "3",
                                         .shape = {5, 7, 3},
                                         .classes = {"red", "green", "blue"},
                                         .accuracy = 0.634,
                                         .data_name = "cifar-10",
                                         .synthetic = false}));
  }
  // Batchers first: their waiters use what the service shares.
  void TearDown() override {
    for (const auto& model : models_.all()) model->batcher->stop();
  }

  HttpReply ask(const Asked& asked) {
    if (!service_) service_.emplace(models_, options_);
    return client_.ask(*service_, asked);
  }
  HttpReply get(const std::string& target) { return ask({"GET", target, "", {}}); }
  HttpReply input(const std::string& type, const std::string& body) {
    return ask({"POST", "/ui/models/colours/input", body, {{"Content-Type", type}}});
  }

  ModelTable models_;
  ServiceOptions options_;
  ServiceClient client_;
  std::optional<Service> service_;
};

// All that stands between quotes behind `before`.
std::set<std::string> quoted_behind(std::string_view text, const std::string& before) {
  std::set<std::string> all;
  const std::string copy(text);
  const std::regex pattern(before + "\"([^\"]*)\"");
  for (std::sregex_iterator at(copy.begin(), copy.end(), pattern), end; at != end; ++at)
    all.insert((*at)[1]);
  return all;
}

TEST_F(DemoPageTest, IsUnder20KB) {
  std::size_t bytes = 0;
  for (const char* path : {"/", "/ui/app.js", "/ui/style.css", "/ui/icon.svg"}) {
    const HttpReply reply = get(path);
    EXPECT_EQ(reply.status, 200) << path;
    EXPECT_GT(reply.body.size(), 100u) << path;
    bytes += reply.body.size();
  }
  EXPECT_LT(bytes, 20'000u);
}

TEST_F(DemoPageTest, EveryReplyIsGuarded) {
  for (const char* path : {"/", "/ui/app.js", "/ui/style.css", "/ui/icon.svg", "/ui/models",
                           "/ui/models/colours/input", "/ui/nothing"}) {
    SCOPED_TRACE(path);
    const HttpReply reply = get(path);
    const std::string policy = field(reply, "Content-Security-Policy");
    EXPECT_THAT(policy, StartsWith("default-src 'none'; "));
    for (const char* directive :
         {"script-src 'self';", "style-src 'self';", "connect-src 'self';", "img-src 'self' blob:;",
          "base-uri 'none';", "form-action 'none';", "frame-ancestors 'none';"})
      EXPECT_THAT(policy, HasSubstr(directive));
    EXPECT_THAT(policy,
                AllOf(Not(HasSubstr("unsafe")), Not(HasSubstr("*")), Not(HasSubstr("http"))));
    EXPECT_EQ(field(reply, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(field(reply, "Referrer-Policy"), "no-referrer");
    EXPECT_EQ(field(reply, "Cache-Control"), "no-cache");
  }
}

// The policy forbids script and style within the markup, and everything from elsewhere: a page that
// needs it would be broken, not unsafe.
TEST_F(DemoPageTest, HoldsToItsOwnPolicy) {
  const std::string page(kPageFiles.page_html), script(kPageFiles.app_js);
  const auto icase = std::regex::icase;
  for (const char* forbidden : {R"(<style)", R"(\sstyle=)", R"(\son[a-z]+=)", R"(javascript:)",
                                R"(<script(?![^>]*\ssrc=)[^>]*>)"})
    EXPECT_FALSE(std::regex_search(page, std::regex(forbidden, icase))) << forbidden;
  for (const std::string_view text :
       {std::string_view(page), kPageFiles.app_js, kPageFiles.style_css})
    EXPECT_FALSE(std::regex_search(std::string(text), std::regex("//[a-z0-9.]+\\.[a-z]", icase)));
  for (const char* forbidden : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
                                "eval(", "Function(", "setAttribute(\"style\""})
    EXPECT_THAT(script, Not(HasSubstr(forbidden)));
}

TEST_F(DemoPageTest, WhatItLinksToIsThere) {
  const std::map<std::string, std::string> types = {{"ui/app.js", "text/javascript; charset=utf-8"},
                                                    {"ui/icon.svg", "image/svg+xml"},
                                                    {"ui/style.css", "text/css; charset=utf-8"}};
  std::set<std::string> links = quoted_behind(kPageFiles.page_html, "src=");
  links.merge(quoted_behind(kPageFiles.page_html, "href="));
  EXPECT_EQ(links.size(), types.size());
  for (const std::string& link : links) {
    const HttpReply reply = get("/" + link);
    EXPECT_EQ(reply.status, 200) << link;
    EXPECT_EQ(reply.content_type, types.at(link));
  }
  EXPECT_EQ(get("/").content_type, "text/html; charset=utf-8");
  EXPECT_EQ(get("/?x=1").body, kPageFiles.page_html);
  const std::set<std::string> ids = quoted_behind(kPageFiles.page_html, "\\sid=");
  for (const char* by : {"element\\(", "show\\("})
    for (const std::string& id : quoted_behind(kPageFiles.app_js, by))
      EXPECT_EQ(ids.count(id), 1u) << id;
}

TEST_F(DemoPageTest, CanBeTurnedOff) {
  options_.ui = false;
  for (const char* path : {"/", "/ui/app.js", "/ui/models", "/ui/models/colours/input"}) {
    const HttpReply reply = get(path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(field(reply, "Content-Security-Policy"), "");
  }
  EXPECT_EQ(input("image/png", image_file("rgb.png")).status, 404);
}

TEST_F(DemoPageTest, TellsOfTheModels) {
  const HttpReply reply = get("/ui/models");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_EQ(nlohmann::json::parse(reply.body), nlohmann::json::parse(R"([
      {"name": "colours", "version": "3", "height": 5, "width": 7, "channels": 3,
       "classes": ["red", "green", "blue"], "accuracy": 0.634, "data": "cifar-10",
       "synthetic": false}])"));
}

TEST_F(DemoPageTest, OfAModelsVersionsTheNewestIsTold) {
  for (const char* version : {"12", "7"})
    models_.put(test::make_colour_model({.name = "colours",
                                         .version = version,
                                         .shape = {1, 1, 3},
                                         .classes = {"a"},
                                         .data_name = {}}));
  const auto models = nlohmann::json::parse(get("/ui/models").body);
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models.at(0).at("version"), "12");
  EXPECT_EQ(input("image/png", image_file("rgb.png")).body.size(), 3u) << "as /invocations does";
}

TEST_F(DemoPageTest, NamesAreDataWhateverTheySay) {
  const std::string nasty = "</script><img src=x onerror=\"alert('1')\">\\ &\n\x01\xe2\x80\xae";
  models_.put(test::make_colour_model({.name = nasty,
                                       .version = nasty,
                                       .shape = {1, 1, 1},
                                       .classes = test::hostile_names(),
                                       .accuracy = std::nullopt,
                                       .data_name = nasty,
                                       .synthetic = true}));
  const HttpReply reply = get("/ui/models");
  EXPECT_THAT(reply.body, Not(HasSubstr("<")));
  const auto models = nlohmann::json::parse(reply.body);
  ASSERT_EQ(models.size(), 2u);
  const auto& model = models.at(models.at(0).at("name") == "colours" ? 1 : 0);
  EXPECT_EQ(model.at("name"), nasty);
  EXPECT_EQ(model.at("version"), nasty);
  EXPECT_EQ(model.at("data"), nasty);
  EXPECT_EQ(model.at("classes"), test::hostile_names());
  EXPECT_TRUE(model.at("accuracy").is_null());
  EXPECT_EQ(model.at("synthetic"), true);
}

TEST_F(DemoPageTest, NoModelIsAnEmptyList) {
  ModelTable none;
  Workers workers(1, 1);
  const DemoPage page(none, workers, {}, 429, std::make_shared<RequestMetrics>());
  const http::HttpHeader header{.method = "GET", .target = "/ui/models"};
  http::HttpBody body;
  http::HttpRequest request(header, body, {}, {});
  EXPECT_EQ(page.handle(request, "/ui/models")->body, "[]");
}

TEST_F(DemoPageTest, InputIsWhatThePredictionGets) {
  for (const auto& [file, type] : {std::pair{"rgb.png", "image/png"},
                                   {"rgb.jpg", "image/jpeg"},
                                   {"grey.png", "image/png"},
                                   {"rgb.png", "application/x-image"}}) {
    SCOPED_TRACE(file);
    const std::string picture = image_file(file);
    const HttpReply reply = input(type, picture);
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.content_type, "application/octet-stream");
    EXPECT_TRUE(client_.was_deferred()) << "a picture may take long to decode";
    EXPECT_EQ(field(reply, "X-Content-Type-Options"), "nosniff");
    const payload::Pictures pictures = payload::decode_pictures(picture, type, {5, 7, 3});
    EXPECT_EQ(reply.body.size(), 5u * 7 * 3);
    EXPECT_EQ(reply.body, std::string(pictures.bytes.begin(), pictures.bytes.end()));
    // Sent as bytes they give the same result as the picture.
    const auto predict = [&](const std::string& as, const std::string& body) {
      return ask({"POST", "/invocations", body, {{"Content-Type", as}}}).body;
    };
    EXPECT_EQ(predict(type, picture), predict("application/octet-stream", reply.body));
  }
}

struct Wrong {
  const char* name;
  Asked asked;
  int status;
  const char* words;
};

TEST_F(DemoPageTest, RefusesWithTheRightStatusAndOneLineOfJson) {
  const std::string to = "/ui/models/colours/input";
  const std::vector<http::HttpField> png = {{"Content-Type", "image/png"}};
  const std::vector<Wrong> rows = {
      {"unknown path", {"GET", "/ui/", "", {}}, 404, "nothing at this path"},
      {"unknown file", {"GET", "/ui/page.html", "", {}}, 404, "nothing at this path"},
      {"climbing", {"GET", "/ui/../ping", "", {}}, 404, "nothing at this path"},
      {"no folder", {"GET", "/ui/models/", "", {}}, 404, "nothing at this path"},
      {"no such word", {"POST", "/ui/models/colours/output", "", png}, 404, "nothing at this path"},
      {"beside the path", {"POST", "/ui/modelscolours/input", "", png}, 404, "nothing at this"},
      {"short path", {"POST", "/ui/models/input", "", png}, 404, ""},
      {"no model name", {"POST", "/ui/models//input", "", png}, 404, "no model of this name"},
      {"unknown model", {"POST", "/ui/models/other/input", "", png}, 404, "no model of this name"},
      {"POST page", {"POST", "/", "", {}}, 405, "GET, HEAD"},
      {"PUT models", {"PUT", "/ui/models", "", {}}, 405, "GET, HEAD"},
      {"GET input", {"GET", to, "", {}}, 405, "POST"},
      {"no type", {"POST", to, "x", {}}, 415, "image/png"},
      {"bad type", {"POST", to, "x", {{"Content-Type", "image"}}}, 415, "image/png"},
      {"no picture", {"POST", to, "[1]", {{"Content-Type", "application/json"}}}, 415, "image/png"},
      {"other picture", {"POST", to, "x", {{"Content-Type", "image/webp"}}}, 415, "image/webp"},
      {"empty", {"POST", to, "", png}, 400, "neither"},
      {"damaged", {"POST", to, image_file("cut.png"), png}, 400, "damaged"},
      {"other kind", {"POST", to, image_file("rgb.jpg"), png}, 400, "is a JPEG picture"},
      {"too large", {"POST", to, image_file("bomb.png"), png}, 413, "60000x60000"},
  };
  for (const Wrong& row : rows) {
    SCOPED_TRACE(row.name);
    expect_error(ask(row.asked), row.status, row.words);
  }
}

TEST_F(DemoPageTest, ChannelsThatNoPictureHas) {
  models_.put(test::make_colour_model(
      {.name = "deep", .version = "1", .shape = {2, 2, 4}, .classes = {"a"}, .data_name = {}}));
  const HttpReply reply = ask(
      {"POST", "/ui/models/deep/input", image_file("rgb.png"), {{"Content-Type", "image/png"}}});
  EXPECT_EQ(reply.status, 415);
  EXPECT_THAT(reply.body, HasSubstr("4 channels"));
}

TEST_F(DemoPageTest, ItsPicturesWaitLikeAllOthers) {
  options_.waiting_bodies = 0;
  options_.overload_status = 503;
  const HttpReply full = input("image/png", image_file("rgb.png"));
  EXPECT_EQ(full.status, 503);
  EXPECT_EQ(field(full, "Retry-After"), "1");
}

TEST_F(DemoPageTest, CountsAsOther) {
  get("/");
  ask({"POST",
       "/ui/models/colours/input",
       image_file("rgb.png"),
       {{"Content-Type", "image/png"}, {"X-Request-Id", "abc"}}});
  const HttpReply bad = ask({"POST",
                             "/ui/models/colours/input",
                             "x",
                             {{"Content-Type", "image/png"}, {"X-Request-Id", "abc"}}});
  EXPECT_EQ(field(bad, "X-Request-Id"), "abc");
  const HttpReply page = get("/metrics");
  for (const char* line : {"kiln_requests_total{endpoint=\"other\",code=\"200\"} 2\n",
                           "kiln_requests_total{endpoint=\"other\",code=\"400\"} 1\n",
                           "kiln_request_seconds_count{endpoint=\"invocations\"} 0\n"})
    EXPECT_THAT(page.body, HasSubstr(line));
}

}  // namespace
}  // namespace kiln::serve
