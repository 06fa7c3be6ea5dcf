// Each hook overridden alone by a small class, and what becomes of hooks that go wrong.
#include "engine/serve/hooks.h"

#include <atomic>

#include "engine/core/error.h"
#include "engine/serve/built_in_hooks.h"
#include "tests/serve/hooked_service.h"

namespace kiln::serve {
namespace {

using http::HttpReply;
using testing::HasSubstr;
using testing::StartsWith;

// A class of hooks out of one function.
struct NoHooks final : HooksOf<NoHooks> {};

struct ModelHook final : HooksOf<ModelHook> {
  using Function = std::function<std::shared_ptr<const infer::Model>(
      const Path&, const ModelDescription&, Device)>;
  explicit ModelHook(Function f) : f_(std::move(f)) {}
  std::shared_ptr<const infer::Model> model_fn(const Path& directory, const ModelDescription& d,
                                               Device device) const override {
    return f_(directory, d, device);
  }
  const Function f_;
};

struct InputHook final : HooksOf<InputHook> {
  using Function = std::function<payload::Pictures(const InputRequest&)>;
  explicit InputHook(Function f) : f_(std::move(f)) {}
  payload::Pictures input_fn(const InputRequest& request) const override {
    return request.content_type == "x/y" ? f_(request) : Hooks::input_fn(request);
  }
  const Function f_;
};

struct PredictHook final : HooksOf<PredictHook> {
  using Function =
      std::function<std::span<const float>(infer::Session&, std::int64_t, std::vector<float>&)>;
  explicit PredictHook(Function f) : f_(std::move(f)) {}
  std::span<const float> predict_fn(infer::Session& session, std::int64_t count,
                                    std::vector<float>& own) const override {
    return f_(session, count, own);
  }
  const Function f_;
};

struct OutputHook final : HooksOf<OutputHook> {
  using Function = std::function<HookReply(const OutputRequest&)>;
  explicit OutputHook(Function f) : f_(std::move(f)) {}
  HookReply output_fn(const OutputRequest& request) const override {
    return request.accept == "x/y" ? f_(request) : Hooks::output_fn(request);
  }
  const Function f_;
};

struct TransformHook final : HooksOf<TransformHook> {
  using Function = std::function<HookReply(const TransformRequest&)>;
  explicit TransformHook(Function f) : f_(std::move(f)) {}
  HookReply transform_fn(const TransformRequest& request) const override { return f_(request); }
  const Function f_;
};

class HooksTest : public HookedServiceTest {
 protected:
  // The three kinds of bodies, and the protocol with its own.
  std::vector<std::string> answers() {
    return {invoke("text/csv", kCsvPicture).body,
            invoke("text/csv", kCsvPicture + kCsvPicture, "application/x-npy").body,
            invoke("application/octet-stream", std::string(18, 'p'), "text/csv").body,
            infer().body};
  }
};

TEST_F(HooksTest, WhatAClassOverridesIsKnown) {
  const auto flags = [](const Hooks& hooks) {
    const HookSet& set = hooks.overridden();
    return std::vector<bool>{set.model_fn, set.input_fn, set.predict_fn, set.output_fn,
                             set.transform_fn};
  };
  using Flags = std::vector<bool>;
  EXPECT_EQ(flags(NoHooks()), (Flags{false, false, false, false, false}));
  EXPECT_EQ(flags(DefaultHooks()), (Flags{false, false, false, false, false}));
  EXPECT_EQ(flags(ModelHook({})), (Flags{true, false, false, false, false}));
  EXPECT_EQ(flags(InputHook({})), (Flags{false, true, false, false, false}));
  EXPECT_EQ(flags(PredictHook({})), (Flags{false, false, true, false, false}));
  EXPECT_EQ(flags(OutputHook({})), (Flags{false, false, false, true, false}));
  EXPECT_EQ(flags(TransformHook({})), (Flags{false, false, false, false, true}));
}

TEST_F(HooksTest, DefaultsAnswerAsTheNetworkAndThePayloadsDo) {
  serve(nullptr);
  const std::vector<std::string> without = answers();
  infer::Session session(infer::Model::load(model()), {.max_batch = 1}, *log_);
  session.set_bytes(0, std::vector<std::uint8_t>(18, 'p'));
  session.run(1);
  EXPECT_EQ(without[2], payload::encode_outputs(session.outputs(0, 1), 1, 4,
                                                {.format = payload::ReplyFormat::csv}));
  serve(std::make_shared<NoHooks>());
  EXPECT_EQ(answers(), without);
  EXPECT_EQ(invoke("a/b", "x").status, 415);
  EXPECT_EQ(invoke("text/csv", kCsvPicture, "a/b").status, 406);
}

TEST_F(HooksTest, ModelFnLoadsAnotherNetwork) {
  const Path other = folder() / "other";
  test::write_model(other, tiny_network(), 2);
  serve(std::make_shared<ModelHook>(
      [&](const Path& directory, const ModelDescription& description, Device device) {
        EXPECT_EQ(directory, model());
        return infer::Model::load(other, description, device);
      }));
  const std::vector<std::string> hooked = answers();
  test::write_model(model(), tiny_network(), 2);
  serve(nullptr);
  EXPECT_EQ(answers(), hooked);
}

TEST_F(HooksTest, ModelFnThatGivesNoSuchNetworkIsNamed) {
  const Path other = folder() / "other";
  test::write_model(other, test::network_of("lenet"), 2);
  const auto fault = [&](const ModelHook::Function& f) {
    return fault_of({.hooks = std::make_shared<ModelHook>(f)});
  };
  const auto wrong = [&](const Path&, const ModelDescription&, Device device) {
    return infer::Model::load(other, device);
  };
  EXPECT_THAT(fault(wrong), HasSubstr("another size by model_fn"));
  EXPECT_THAT(fault([](auto&&...) { return nullptr; }), HasSubstr("or none"));
  EXPECT_THAT(fault([](auto&&...) -> std::shared_ptr<const infer::Model> { throw 7; }),
              HasSubstr("model_fn threw what is no std::exception"));
}

TEST_F(HooksTest, InputFnTakesATypeOfItsOwn) {
  serve(std::make_shared<InputHook>([](const InputRequest& request) {
    EXPECT_EQ(request.model.shape.size(), 18);
    return payload::Pictures{
        .count = 1,
        .bytes = std::vector<std::uint8_t>(18, static_cast<std::uint8_t>(request.body.at(0)))};
  }));
  const HttpReply reply = invoke("x/y", "p");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, invoke("application/octet-stream", std::string(18, 'p')).body);
  EXPECT_EQ(invoke("a/b", "p").status, 415);
}

TEST_F(HooksTest, InputFnThatFailsIsOneAnswer) {
  const auto reply_to = [&](const InputHook::Function& f) {
    serve(std::make_shared<InputHook>(f));
    return invoke("x/y", "p");
  };
  const HttpReply refused = reply_to([](const InputRequest&) -> payload::Pictures {
    throw payload::Refusal(422, "send another");
  });
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(refused.body, "{\"error\": \"send another\"}\n");
  const auto hidden = [&](const InputHook::Function& f, const std::string& secret) {
    expect_hidden_fault(reply_to(f), secret);
  };
  hidden([](auto&) -> payload::Pictures { throw std::runtime_error("planted 1"); }, "planted 1");
  hidden([](auto&) -> payload::Pictures { throw 7; }, "no std::exception");
  hidden([](auto&) -> payload::Pictures { throw payload::Refusal(7, "planted 2"); }, "planted 2");
  const std::string shape = "gave no pictures of the model's shape";
  hidden([](auto&) { return payload::Pictures{}; }, shape);
  hidden([](auto&) { return payload::Pictures{.count = -1, .bytes = {1}}; }, shape);
  hidden([](auto&) { return payload::Pictures{.count = 1, .bytes = {1}}; }, shape);
  hidden([](auto&) { return payload::Pictures{.count = 1, .values = std::vector<float>(36)}; },
         shape);
  EXPECT_EQ(invoke("text/csv", kCsvPicture).status, 200) << "the server goes on";
}

TEST_F(HooksTest, PredictFnReplacesTheNumbers) {
  // The sums of what the network sees, in the place of what it says.
  serve(std::make_shared<PredictHook>(
      [](infer::Session& session, std::int64_t count, std::vector<float>& own) {
        own.assign(static_cast<std::size_t>(count * 4), -1.0f);
        for (std::int64_t row = 0; row < count; ++row)
          for (const float x : session.inputs(row, 1)) own[static_cast<std::size_t>(4 * row)] += x;
        return std::span<const float>(own);
      }));
  const std::string ones = "1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.,1.\n";
  std::string six, rows;
  for (int i = 0; i < 6; ++i) six += ones, rows += "17.0,-1.0,-1.0,-1.0\n";
  EXPECT_EQ(invoke("text/csv", six, "text/csv").body, rows) << "more than a batch of four";
  EXPECT_THAT(infer().body, HasSubstr("-1,-1,-1")) << "the protocol's requests as well";
}

TEST_F(HooksTest, PredictFnThatFailsIsOneAnswer) {
  std::atomic<int> mode = 0;
  serve(std::make_shared<PredictHook>(
      [&](infer::Session& session, std::int64_t count, std::vector<float>&) {
        if (mode == 1) throw payload::Refusal(422, "planted 1");
        if (mode == 2) throw 7;
        session.run(count);
        return session.outputs(0, mode == 3 ? count - 1 : count);
      }));
  EXPECT_EQ(invoke("text/csv", kCsvPicture).status, 200);
  for (const char* secret : {"planted 1", "no std::exception", "made 0 numbers for 1 rows of 4"}) {
    ++mode;
    expect_hidden_fault(invoke("text/csv", kCsvPicture), secret);
    EXPECT_EQ(infer().status, 500);
  }
  mode = 0;
  EXPECT_EQ(invoke("text/csv", kCsvPicture).status, 200);
}

TEST_F(HooksTest, PredictFnThatCannotComputeIsFoundWhenTheModelIsLoaded) {
  const auto hooks = std::make_shared<PredictHook>(
      [](auto&, auto, auto&) -> std::span<const float> { throw std::runtime_error("planted"); });
  EXPECT_THAT(fault_of({.hooks = hooks}), HasSubstr("planted"));
}

TEST_F(HooksTest, OutputFnWritesATypeOfItsOwn) {
  serve(std::make_shared<OutputHook>([](const OutputRequest& request) {
    EXPECT_FALSE(request.type);
    EXPECT_EQ(request.values.size(), 8u);
    return HookReply{"x/y", request.model.classes.at(1) + " " + std::to_string(request.rows)};
  }));
  const HttpReply reply = invoke("text/csv", kCsvPicture + kCsvPicture, "x/y");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "x/y");
  EXPECT_EQ(reply.body, "class 1 2");
  EXPECT_EQ(invoke("text/csv", kCsvPicture, "a/b").status, 406) << "the default says so";
  EXPECT_THAT(invoke("text/csv", kCsvPicture).body, StartsWith("[["));
}

TEST_F(HooksTest, OutputFnThatFailsIsOneAnswer) {
  const auto reply_to = [&](const OutputHook::Function& f) {
    serve(std::make_shared<OutputHook>(f));
    return invoke("text/csv", kCsvPicture, "x/y");
  };
  EXPECT_EQ(reply_to([](auto&) -> HookReply { throw payload::Refusal(451, "no"); }).status, 451);
  expect_hidden_fault(reply_to([](auto&) -> HookReply { throw std::runtime_error("planted 1"); }),
                      "planted 1");
  expect_hidden_fault(reply_to([](auto&) -> HookReply { throw 7; }), "no std::exception");
  expect_hidden_fault(reply_to([](auto&) { return HookReply{"a\r\nb", ""}; }), "not printable");
  expect_hidden_fault(reply_to([](auto&) { return HookReply{"", "x"}; }), "no content type");
}

TEST_F(HooksTest, TransformFnTakesThePlaceOfTheThreeOffTheLoop) {
  std::thread::id thread;
  serve(std::make_shared<TransformHook>([&](const TransformRequest& request) {
    thread = std::this_thread::get_id();
    return HookReply{"text/plain", std::string(request.content_type) + " " +
                                       std::string(request.accept) + " " +
                                       std::string(request.body)};
  }));
  const HttpReply reply = invoke("a/b", "body", "c/d");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "text/plain");
  EXPECT_EQ(reply.body, "a/b c/d body");
  EXPECT_NE(thread, std::thread::id());
  EXPECT_NE(thread, std::this_thread::get_id());
  EXPECT_EQ(infer().status, 200) << "the protocol is answered by the network";
}

TEST_F(HooksTest, TransformFnThatFailsIsOneAnswer) {
  const auto reply_to = [&](const TransformHook::Function& f) {
    serve(std::make_shared<TransformHook>(f));
    return invoke("x/y", "p");
  };
  EXPECT_EQ(reply_to([](auto&) -> HookReply { throw payload::Refusal(400, "no"); }).status, 400);
  expect_hidden_fault(reply_to([](auto&) -> HookReply { throw std::runtime_error("planted 1"); }),
                      "planted 1");
  expect_hidden_fault(reply_to([](auto&) -> HookReply { throw 7; }), "no std::exception");
}

TEST_F(HooksTest, ATransformThatWaitedTooLongIs504) {
  std::atomic<bool> called = false;
  load({.hooks = std::make_shared<TransformHook>([&](auto&) {
          called = true;
          return HookReply{"text/plain", ""};
        }),
        .request_time = std::chrono::milliseconds(0)});
  EXPECT_EQ(invoke("x/y", "p").status, 504);
  EXPECT_FALSE(called);
}

// The example of a build, linked into this test as a build links it into the server.
TEST_F(HooksTest, BuiltInHooksMakeProbabilities) {
  serve(nullptr);
  const std::string plain = invoke("text/csv", kCsvPicture, "text/csv").body;
  serve(built_in_hooks());
  std::istringstream in(invoke("text/csv", kCsvPicture, "text/csv").body), numbers(plain);
  double sum = 0, expected_sum = 0;
  std::vector<double> p(4), x(4);
  for (std::size_t k = 0; k < 4; ++k) {
    char comma = 0;
    in >> p[k] >> comma;
    numbers >> x[k] >> comma;
    sum += p[k];
    expected_sum += std::exp(x[k] / 2);
  }
  EXPECT_NEAR(sum, 1, 1e-6);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(p[k], std::exp(x[k] / 2) / expected_sum, 1e-6);
}

TEST_F(HooksTest, TheCardSaysHowTheModelWantsToBeServedAndTheOperatorIsStronger) {
  write_card({.request_time_ms = 77});
  EXPECT_EQ(load({})->request_time, std::chrono::milliseconds(77));
  EXPECT_EQ(load({.request_time = std::chrono::milliseconds(5)})->request_time,
            std::chrono::milliseconds(5));
}

}  // namespace
}  // namespace kiln::serve
