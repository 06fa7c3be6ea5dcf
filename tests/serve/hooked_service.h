// A small model that is loaded with hooks and answers through a service, without a socket.
#pragma once

#include <cstdio>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/serve/model_loader.h"
#include "engine/serve/service.h"
#include "tests/infer/model_folder.h"
#include "tests/serve/service_client.h"
#include "tests/support/temp_folder.h"

namespace kiln::serve {

// Pictures of 2 x 3 pixels in color, four classes, one layer.
inline ModelSpec tiny_network() {
  return {.name = "tiny",
          .height = 2,
          .width = 3,
          .channels = 3,
          .class_count = 4,
          .layers = {{.kind = LayerKind::flatten, .name = "flatten"},
                     {.kind = LayerKind::linear, .name = "fc", .out_features = 4}}};
}

class HookedServiceTest : public TempFolderTest {
 protected:
  void SetUp() override {
    TempFolderTest::SetUp();
    test::write_model(model(), tiny_network(), 1);
    log_file_ = std::fopen((folder() / "log").c_str(), "w+");
    log_.emplace(log_file_, LogLevel::info);
  }
  // Batchers first: their waiters use what the service shares.
  void TearDown() override {
    stop();
    std::fclose(log_file_);
    TempFolderTest::TearDown();
  }
  void stop() {
    for (const auto& served : models_.all()) {
      served->batcher->stop();
      models_.remove(served->identity->name, served->identity->version);
    }
  }

  Path model() const { return folder() / "tiny"; }
  void write_card(const ModelCard::Serving& serving) const {
    ModelCard card = test::card_of(tiny_network());
    card.serving = serving;
    write_model_card(model() / kCardFile, card);
  }
  ModelTable::Entry load(LoadOptions options) {
    options.max_batch = 4;
    ModelLoader loader(options, *log_);
    ModelTable::Entry entry = loader.load({"tiny", "1", model()});
    if (const auto old = models_.put(entry)) old->batcher->stop();
    return entry;
  }
  void serve(std::shared_ptr<const Hooks> hooks) { load({.hooks = std::move(hooks)}); }
  void serve_plugin(const std::string& name) {
    write_card({.plugin = name});
    load({.allow_plugins = true});
  }
  // What load() throws, or nothing.
  std::string fault_of(const LoadOptions& options) {
    try {
      load(options);
    } catch (const std::exception& fault) {
      return fault.what();
    }
    return "";
  }

  http::HttpReply ask(const std::string& path, const std::string& body,
                      std::vector<http::HttpField> fields) {
    return client_.ask(service(), {"POST", path, body, std::move(fields)});
  }
  http::HttpReply invoke(const std::string& type, const std::string& body,
                         const std::string& accept = "application/json") {
    return ask("/invocations", body, {{"Content-Type", type}, {"Accept", accept}});
  }
  http::HttpReply infer() {
    return ask("/v2/models/tiny/infer",
               R"({"inputs": [{"name": "input", "shape": [1, 2, 3, 3], "datatype": "UINT8",
                   "data": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]}]})",
               {{"Content-Type", "application/json"}});
  }
  std::string logged() const {
    std::ifstream file(folder() / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // 500 with one line of JSON that tells nothing of `secret`, which is in the log.
  void expect_hidden_fault(const http::HttpReply& reply, const std::string& secret) const {
    expect_error(reply, 500, "");
    EXPECT_THAT(reply.body, testing::Not(testing::HasSubstr(secret)));
    EXPECT_THAT(logged(), testing::HasSubstr(secret));
  }

  Service& service() {
    if (!service_) {
      service_.emplace(models_, ServiceOptions{.on_failure = [this](std::string_view what) {
                         log_->warning(what);
                       }});
      service_->set_ready(true);
    }
    return *service_;
  }

  std::FILE* log_file_ = nullptr;
  std::optional<Log> log_;
  ModelTable models_;
  ServiceClient client_;
  std::optional<Service> service_;
};

inline const std::string kCsvPicture = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18\n";

}  // namespace kiln::serve
