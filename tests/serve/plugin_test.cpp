// Plug-ins: tables that are wrong, functions that fail, libraries that are none, and the example.
#include <cstring>

#include "engine/core/error.h"
#include "engine/serve/plugin_hooks.h"
#include "engine/serve/plugin_loader.h"
#include "tests/serve/hooked_service.h"

namespace kiln::serve {
namespace {

namespace fs = std::filesystem;
using http::HttpReply;
using testing::AllOf;
using testing::HasSubstr;

// The functions of the tables below. `state` counts the models that were freed.
std::int32_t say(KilnError* error, std::int32_t status, const char* words) {
  std::strncpy(error->text, words, sizeof error->text);
  return status;
}
std::int32_t fill(const KilnModel*, const KilnRequest*, KilnPictures* pictures, KilnError*) {
  std::uint8_t* pixels = pictures->pixels(pictures, 1);
  if (pictures->pixels(pictures, 1) != nullptr || pictures->values(pictures, 1) != nullptr)
    return 1;
  std::memset(pixels, 'p', 18);
  return 0;
}
std::int32_t write_accept(const KilnModel* model, const KilnOutputs* outputs, KilnReply* reply,
                          KilnError*) {
  reply->content_type(reply, "text/plain");
  reply->write(reply, model->classes[3], std::strlen(model->classes[3]));
  return reply->write(reply, outputs->accept, std::strlen(outputs->accept));
}

class PluginTest : public HookedServiceTest {
 protected:
  static KilnHooks table() { return {.version = KILN_PLUGIN_VERSION, .size = sizeof(KilnHooks)}; }
  std::shared_ptr<const Hooks> make(const KilnHooks* table) const {
    const ModelIdentity identity{
        .name = "tiny", .version = "1", .shape = {2, 3, 3}, .classes = {"a", "b", "c", "d"}};
    return make_plugin_hooks(table, nullptr, "libx.so", model(), identity);
  }
  void serve_table(const KilnHooks& table) { serve(make(&table)); }
  std::string fault_of_table(const KilnHooks* table) const {
    try {
      make(table);
    } catch (const Error& fault) {
      return fault.what();
    }
    return "";
  }
  HttpReply transform_by(decltype(KilnHooks::transform_fn) function) {
    KilnHooks hooks = table();
    hooks.transform_fn = function;
    serve_table(hooks);
    return invoke("x/y", "body", "c/d");
  }
  std::string fault_of_plugin(const std::string& name, bool allow = true) {
    write_card({.plugin = name});
    return fault_of({.allow_plugins = allow});
  }
  // A library of this build, under another name, in the model's directory.
  void put(const char* built, const std::string& name) const {
    fs::copy_file(built, model() / name, fs::copy_options::overwrite_existing);
  }
};

TEST_F(PluginTest, TablesThatAreWrongAreNamed) {
  EXPECT_THAT(fault_of_table(nullptr), HasSubstr("kiln_hooks() returned NULL"));
  KilnHooks hooks = table();
  EXPECT_THAT(fault_of_table(&hooks), HasSubstr("without one function"));
  hooks.transform_fn = [](auto...) { return 0; };
  EXPECT_EQ(fault_of_table(&hooks), "");
  hooks.output_fn = write_accept;
  EXPECT_THAT(fault_of_table(&hooks), HasSubstr("transform_fn beside input_fn, predict_fn or"));
  hooks.version = 2;
  EXPECT_THAT(fault_of_table(&hooks),
              AllOf(HasSubstr("libx.so"), HasSubstr("version 2"), HasSubstr("speaks version 1")));
  hooks.version = KILN_PLUGIN_VERSION;
  hooks.size -= 8;
  EXPECT_THAT(fault_of_table(&hooks), HasSubstr("has a table of"));
}

TEST_F(PluginTest, ModelFnMakesAStateThatIsFreed) {
  static int freed;
  freed = 0;
  KilnHooks hooks = table();
  hooks.model_fn = [](KilnModel* model, KilnError*) -> std::int32_t {
    EXPECT_STREQ(model->name, "tiny");
    EXPECT_EQ(model->class_count, 4u);
    EXPECT_EQ(fs::path(model->directory).filename(), "tiny");
    model->state = &freed;
    return 0;
  };
  hooks.model_free = [](KilnModel* model) { ++*static_cast<int*>(model->state); };
  hooks.transform_fn = [](const KilnModel* model, auto, KilnReply* reply, auto) {
    EXPECT_EQ(model->state, &freed);
    return reply->content_type(reply, "a/b");
  };
  serve_table(hooks);
  EXPECT_EQ(invoke("x/y", "").content_type, "a/b");
  EXPECT_EQ(freed, 0);
  stop();
  service_.reset();
  EXPECT_EQ(freed, 1);
  hooks.model_fn = [](KilnModel*, KilnError* error) { return say(error, 500, "planted"); };
  EXPECT_THAT(fault_of_table(&hooks),
              AllOf(HasSubstr("does not take the model"), HasSubstr("planted")));
  EXPECT_EQ(freed, 1) << "nothing was made";
}

TEST_F(PluginTest, InputFnFillsLentMemory) {
  KilnHooks hooks = table();
  hooks.input_fn = fill;
  serve_table(hooks);
  const std::string body = invoke("x/y", "").body;
  EXPECT_EQ(body, invoke("a/b", "").body);
  hooks.input_fn = [](auto...) { return KILN_NOT_MINE; };
  serve_table(hooks);
  EXPECT_EQ(invoke("application/octet-stream", std::string(18, 'p')).body, body);
  EXPECT_EQ(invoke("x/y", "").status, 415);
}

TEST_F(PluginTest, InputFnThatFailsIsOneAnswer) {
  const auto reply_to = [&](decltype(KilnHooks::input_fn) function) {
    KilnHooks hooks = table();
    hooks.input_fn = function;
    serve_table(hooks);
    return invoke("x/y", "");
  };
  const HttpReply refused =
      reply_to([](auto, auto, auto, KilnError* error) { return say(error, 422, "send\nanother"); });
  EXPECT_EQ(refused.status, 422);
  EXPECT_THAT(refused.body, HasSubstr("send"));
  EXPECT_EQ(std::count(refused.body.begin(), refused.body.end(), '\n'), 1);
  expect_hidden_fault(reply_to([](auto...) { return 0; }), "gave no pictures");
  expect_hidden_fault(
      reply_to([](auto, auto, auto, KilnError* error) { return say(error, 500, "planted 1"); }),
      "planted 1");
  expect_hidden_fault(reply_to([](auto, auto, KilnPictures* pictures, KilnError*) {
                        return pictures->values(pictures, pictures->limit + 1) == nullptr &&
                                       pictures->pixels(pictures, 0) == nullptr
                                   ? 77
                                   : 0;
                      }),
                      "input_fn failed with 77: the plug-in gave no reason");
  expect_hidden_fault(reply_to([](auto...) -> std::int32_t { throw 7; }), "no std::exception");
  std::string text;
  expect_hidden_fault(reply_to([](auto, auto, auto, KilnError* error) {
                        std::memset(error->text, 'z', sizeof error->text);
                        return 1;
                      }),
                      std::string(sizeof(KilnError) - 1, 'z'));
}

TEST_F(PluginTest, PredictFnRunsTheNetworkOrDoesNot) {
  serve(nullptr);
  const std::string plain = invoke("text/csv", kCsvPicture, "text/csv").body;
  KilnHooks hooks = table();
  hooks.predict_fn = [](auto, KilnBatch* batch, auto) { return batch->run(batch); };
  serve_table(hooks);
  EXPECT_EQ(invoke("text/csv", kCsvPicture, "text/csv").body, plain);
  hooks.predict_fn = [](auto, KilnBatch* batch, auto) {
    EXPECT_EQ(batch->picture_size, 18u);
    EXPECT_EQ(batch->output_size, 4u);
    for (std::uint64_t row = 0; row < batch->count; ++row)
      batch->outputs[4 * row + 2] = batch->inputs[18 * row];
    return 0;
  };
  serve_table(hooks);
  const std::string five = "5.,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0\n";
  EXPECT_EQ(invoke("text/csv", five, "text/csv").body, "0.0,0.0,5.0,0.0\n");
}

TEST_F(PluginTest, PredictFnThatFailsIsFoundWhenTheModelIsLoaded) {
  KilnHooks hooks = table();
  hooks.predict_fn = [](auto, auto, KilnError* error) { return say(error, 1, "planted"); };
  EXPECT_THAT(fault_of({.hooks = make(&hooks)}), HasSubstr("predict_fn failed with 1: planted"));
}

TEST_F(PluginTest, OutputFnWritesTheReplyOrLeavesIt) {
  KilnHooks hooks = table();
  hooks.output_fn = write_accept;
  serve_table(hooks);
  const HttpReply reply = invoke("text/csv", kCsvPicture, "c/d");
  EXPECT_EQ(reply.content_type, "text/plain");
  EXPECT_EQ(reply.body, "dc/d");
  hooks.output_fn = [](auto...) { return KILN_NOT_MINE; };
  serve_table(hooks);
  EXPECT_EQ(invoke("text/csv", kCsvPicture, "c/d").status, 406);
  EXPECT_EQ(invoke("text/csv", kCsvPicture, "text/csv").status, 200);
  hooks.output_fn = [](auto, auto, KilnReply* reply_to, auto) {
    const std::string chunk(std::size_t{1} << 20, 'x');
    reply_to->content_type(reply_to, "text/plain");
    while (reply_to->write(reply_to, chunk.data(), chunk.size()) == 0) {
    }
    return 0;
  };
  serve_table(hooks);
  expect_hidden_fault(invoke("text/csv", kCsvPicture, "c/d"), "output_fn wrote more than 67108864");
}

TEST_F(PluginTest, TransformFnAnswersTheWholeRequest) {
  const HttpReply reply =
      transform_by([](auto, const KilnRequest* request, KilnReply* to, auto) -> std::int32_t {
        to->content_type(to, request->content_type);
        to->write(to, request->body, request->body_bytes);
        return to->content_type(to, nullptr) == 0 ? 1 : to->write(to, request->accept, 3);
      });
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "x/y");
  EXPECT_EQ(reply.body, "bodyc/d");
  EXPECT_EQ(transform_by([](auto, auto, auto, KilnError* e) { return say(e, 404, "no"); }).status,
            404);
  expect_hidden_fault(transform_by([](auto...) { return KILN_NOT_MINE; }), "failed with -1");
  expect_hidden_fault(transform_by([](auto...) { return 0; }), "no content type");
}

class PluginFileTest : public PluginTest {
 protected:
  void SetUp() override {
    if (!has_plugins()) GTEST_SKIP() << "this build has no plug-ins";
    PluginTest::SetUp();
  }
  void TearDown() override {
    if (has_plugins()) PluginTest::TearDown();
  }
};

TEST_F(PluginFileTest, TheExampleNamesTheLikeliestClass) {
  put(KILN_EXAMPLE_PLUGIN, "libtop_class.so");
  serve_plugin("libtop_class.so");
  EXPECT_THAT(logged(), HasSubstr("answered by the plug-in libtop_class.so"));
  const std::string numbers = invoke("application/octet-stream", std::string(18, 'p')).body;
  const std::string hex = "707070 707070 707070\n707070 707070 707070\n";
  EXPECT_EQ(invoke("application/x-rgb-hex", hex).body, numbers);
  const HttpReply reply = invoke("application/x-rgb-hex", hex + hex, "text/plain");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "text/plain; charset=utf-8");
  std::istringstream in(invoke("application/octet-stream", std::string(18, 'p'), "text/csv").body);
  std::vector<double> x(4);
  for (double& value : x) in >> value, in.ignore();
  const std::string name = "class " + std::to_string(std::ranges::max_element(x) - x.begin());
  EXPECT_EQ(reply.body, name + "\n" + name + "\n");
  EXPECT_EQ(invoke("application/x-rgb-hex", "70").status, 400);
  EXPECT_EQ(invoke("application/x-rgb-hex", hex.substr(0, 12) + "x" + hex.substr(13)).status, 400);
  EXPECT_EQ(invoke("a/b", "x").status, 415);
  EXPECT_EQ(invoke("text/csv", kCsvPicture, "a/b").status, 406);
  EXPECT_EQ(infer().status, 200);
}

TEST_F(PluginFileTest, NothingIsLoadedUnlessItIsAllowed) {
  put(KILN_EXAMPLE_PLUGIN, "libtop_class.so");
  EXPECT_THAT(fault_of_plugin("libtop_class.so", false),
              AllOf(HasSubstr("model.json: names the plug-in libtop_class.so"),
                    HasSubstr("--allow-plugins")));
  EXPECT_THAT(fault_of_plugin("missing.so", false), HasSubstr("--allow-plugins"))
      << "the file is not even looked for";
}

TEST_F(PluginFileTest, FilesThatAreNoPluginsAreNamed) {
  EXPECT_THAT(fault_of_plugin("missing.so"),
              AllOf(HasSubstr("missing.so: cannot be opened"), HasSubstr("No such file")));
  std::ofstream(model() / "text.so") << "this is no library";
  EXPECT_THAT(fault_of_plugin("text.so"),
              AllOf(HasSubstr("text.so: is no library"), testing::Not(HasSubstr("/proc/"))));
  std::ofstream(model() / "empty.so").flush();
  EXPECT_THAT(fault_of_plugin("empty.so"), HasSubstr("empty.so: is no library"));
  fs::create_directory(model() / "folder.so");
  EXPECT_THAT(fault_of_plugin("folder.so"), HasSubstr("is not a file"));
  put(KILN_PLUGIN_WITHOUT_ENTRY, "libx.so");
  EXPECT_THAT(fault_of_plugin("libx.so"), HasSubstr("does not export kiln_hooks()"));
  put(KILN_PLUGIN_OF_VERSION_2, "libx.so");
  EXPECT_THAT(fault_of_plugin("libx.so"), HasSubstr("is of version 2"));
  put(KILN_PLUGIN_WITHOUT_TABLE, "libx.so");
  EXPECT_THAT(fault_of_plugin("libx.so"), HasSubstr("returned NULL"));
  put(KILN_PLUGIN_THAT_THROWS, "libx.so");
  EXPECT_THAT(fault_of_plugin("libx.so"), HasSubstr("kiln_hooks threw what is no std::exception"));
}

TEST_F(PluginFileTest, ALinkMayNotLeadOutOfTheDirectory) {
  fs::copy_file(KILN_EXAMPLE_PLUGIN, folder() / "outside.so");
  fs::create_symlink("../outside.so", model() / "out.so");
  EXPECT_THAT(fault_of_plugin("out.so"), HasSubstr("leads out of the model's directory"));
  // The folder beside it whose name begins in the same way.
  fs::create_directory(folder() / "tiny2");
  fs::copy_file(KILN_EXAMPLE_PLUGIN, folder() / "tiny2" / "outside.so");
  fs::create_symlink("../tiny2/outside.so", model() / "beside.so");
  EXPECT_THAT(fault_of_plugin("beside.so"), HasSubstr("leads out of the model's directory"));
  fs::create_directory(model() / "data");
  put(KILN_EXAMPLE_PLUGIN, "data/inside.so");
  fs::create_symlink("data/inside.so", model() / "in.so");
  EXPECT_EQ(fault_of_plugin("in.so"), "");
}

// The old library is at work while the new one comes under its name; and whoever writes into its
// file changes nothing of what runs.
TEST_F(PluginFileTest, AReplacedFileIsTheNewPlugin) {
  put(KILN_EXAMPLE_PLUGIN, "libx.so");
  serve_plugin("libx.so");
  put(KILN_PLUGIN_OF_VERSION_2, "libx.so");
  EXPECT_THAT(fault_of({.allow_plugins = true}), HasSubstr("is of version 2"));
  std::ofstream(model() / "libx.so", std::ios::trunc) << "garbage";
  EXPECT_EQ(invoke("text/csv", kCsvPicture, "text/plain").status, 200);
  put(KILN_EXAMPLE_PLUGIN, "libx.so");
  for (int i = 0; i < 50; ++i) serve_plugin("libx.so");
  EXPECT_EQ(invoke("text/csv", kCsvPicture, "text/plain").status, 200);
}

}  // namespace
}  // namespace kiln::serve
