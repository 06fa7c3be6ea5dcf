// Loading: what is folded, and every way in which a model directory can be wrong.
#include "engine/infer/model.h"

#include <fstream>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "engine/core/error.h"
#include "engine/core/transfer.h"
#include "engine/infer/session.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_relu_maxpool.h"
#include "tests/infer/model_folder.h"
#include "tests/support/temp_folder.h"

namespace kiln::infer {
namespace {

class InferModel : public TempFolderTest {
 protected:
  std::shared_ptr<const Model> drawn(const ModelSpec& spec) {
    test::write_model(folder(), spec, 3);
    return Model::load(folder());
  }
};

std::vector<StepKind> kinds_of(const std::vector<Step>& steps) {
  std::vector<StepKind> kinds;
  for (const Step& step : steps) kinds.push_back(step.kind);
  return kinds;
}

TEST_F(InferModel, LenetIsFiveKernels) {
  const auto model = drawn(lenet());
  using K = StepKind;
  EXPECT_EQ(kinds_of(model->steps()), (std::vector{K::conv2d_relu_maxpool, K::conv2d_relu_maxpool,
                                                   K::linear, K::linear, K::linear}));
  const Conv2dShape first{.h = 32, .w = 32, .c = 3, .k = 6, .r = 5, .s = 5},
      second{.h = 14, .w = 14, .c = 6, .k = 16, .r = 5, .s = 5};
  const auto packed_count = [](const Conv2dShape& s) {
    return conv2d_relu_maxpool_packed_count(s, {.h = s.p(), .w = s.q(), .c = s.k});
  };
  const std::int64_t linear = 120 * 401 + 84 * 121 + 10 * 85;
  const std::int64_t count = linear + packed_count(first) + packed_count(second);
  EXPECT_EQ(model->weight_bytes(), static_cast<std::size_t>(count) * sizeof(float));
  EXPECT_EQ(model->card().classes.size(), 10u);
  EXPECT_EQ(model->spec(), lenet());
}

TEST_F(InferModel, DropoutIsNoBarrierToFusion) {
  using K = StepKind;
  EXPECT_EQ(kinds_of(drawn(mnist())->steps()),
            (std::vector{K::conv2d_relu_maxpool, K::conv2d_relu_maxpool, K::linear, K::linear,
                         K::log_softmax}));
}

TEST_F(InferModel, AResidualNetworkKeepsNoNormalisation) {
  std::function<void(const std::vector<Step>&)> expect_none = [&](const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      EXPECT_NE(step.kind, StepKind::batch_norm);
      EXPECT_NE(step.kind, StepKind::relu);
      expect_none(step.body);
      expect_none(step.shortcut);
    }
  };
  const auto model = drawn(test::network_of("mini"));
  expect_none(model->steps());
  EXPECT_EQ(model->steps().size(), 5u);  // stem, two blocks, pooling, head
}

TEST_F(InferModel, NormalisationIsFoldedIntoTheWeights) {
  const ModelSpec spec{.name = "tiny",
                       .height = 1,
                       .width = 1,
                       .channels = 1,
                       .class_count = 2,
                       .layers = {{.kind = LayerKind::conv2d, .name = "conv", .out_features = 2},
                                  {.kind = LayerKind::batch_norm, .name = "bn", .epsilon = 0.25},
                                  {.kind = LayerKind::flatten, .name = "flatten"}}};
  test::write_model(folder(), spec, 3);
  test::write_tensors(folder(), {{"conv.weight", {2, 1, 1, 1}, {3, -4}},
                                 {"conv.bias", {2}, {1, 2}},
                                 {"bn.weight", {2}, {0.5, 3}},
                                 {"bn.bias", {2}, {7, -1}},
                                 {"bn.running_mean", {2}, {5, 0.5}},
                                 {"bn.running_var", {2}, {3.75, 2}}});
  const auto model = Model::load(folder());
  const LayerWeights& conv = model->weights().of("conv");
  // scale = gamma / sqrt(var + 1/4) = 0.5/2, 3/1.5; shift = beta - mean * scale = 5.75, -2.
  const Conv2dShape shape{.c = 1, .k = 2};
  const std::vector<float> wanted{0.75f, -8.0f};
  std::vector<float> packed(static_cast<std::size_t>(conv2d_packed_count(shape)));
  conv2d_pack(shape, Tensor(std::span(wanted), shape.weights()),
              Tensor(std::span(packed), {conv2d_packed_count(shape)}));
  EXPECT_TRUE(conv.w.empty());
  EXPECT_EQ(elements_of<float>(conv.packed), packed);
  EXPECT_THAT(elements_of<float>(conv.bias), testing::ElementsAre(6.0f, 2.0f));
}

struct Damage {
  const char* name;
  std::function<void(const std::filesystem::path&)> harm;
  const char* says;
};

void rewrite(const std::filesystem::path& folder,
             const std::function<void(std::vector<test::DrawnTensor>&)>& change) {
  std::vector<test::DrawnTensor> tensors = test::drawn_tensors(test::network_of("mini"), 3);
  change(tensors);
  test::write_tensors(folder, tensors);
}

std::vector<test::DrawnTensor>::iterator named(std::vector<test::DrawnTensor>& tensors,
                                               std::string_view name) {
  return std::ranges::find(tensors, name, &test::DrawnTensor::name);
}

std::vector<Damage> damaged_files() {
  using Path = std::filesystem::path;
  const auto write = [](const Path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  };
  return {
      {"NoFolder", [](const Path& f) { std::filesystem::remove_all(f); },
       "is not a model directory"},
      {"NoCard", [](const Path& f) { std::filesystem::remove(f / "model.json"); }, "model.json"},
      {"NoWeights", [](const Path& f) { std::filesystem::remove(f / "model.safetensors"); },
       "model.safetensors"},
      {"EmptyCard", [=](const Path& f) { write(f / "model.json", ""); }, "model.json"},
      {"EmptyWeights", [=](const Path& f) { write(f / "model.safetensors", ""); },
       "model.safetensors"},
      {"CutWeights",
       [](const Path& f) {
         const auto size = std::filesystem::file_size(f / "model.safetensors");
         std::filesystem::resize_file(f / "model.safetensors", size - 4);
       },
       "model.safetensors"}};
}

std::vector<Damage> damaged_tensors() {
  using Path = std::filesystem::path;
  using Tensors = std::vector<test::DrawnTensor>;
  return {
      {"MissingTensor",
       [](const Path& f) { rewrite(f, [](Tensors& t) { t.erase(named(t, "fc.weight")); }); },
       "fc.weight"},
      {"MissingBias",
       [](const Path& f) { rewrite(f, [](Tensors& t) { t.erase(named(t, "fc.bias")); }); },
       "fc.bias"},
      {"MissingStatistics",
       [](const Path& f) { rewrite(f, [](Tensors& t) { t.erase(named(t, "bn1.running_var")); }); },
       "bn1.running_var"},
      {"StrangeTensor",
       [](const Path& f) { rewrite(f, [](Tensors& t) {
                             t.push_back({"spare", {1}, {1}});
                           }); },
       "holds spare, which the network does not have"},
      {"WrongShape",
       [](const Path& f) {
         rewrite(f, [](Tensors& t) { named(t, "fc.weight")->shape = {16, 10}; });
       },
       "fc.weight"},
      {"MemoryOrder",
       [](const Path& f) {
         rewrite(f, [](Tensors& t) { named(t, "conv1.weight")->shape = {8, 3, 3, 3, 1}; });
       },
       "conv1.weight"},
      {"NegativeVariance",
       [](const Path& f) {
         rewrite(f, [](Tensors& t) { named(t, "bn1.running_var")->values[2] = -1; });
       },
       "bn1.running_var holds a variance"},
      {"VarianceNotANumber",
       [](const Path& f) {
         rewrite(f, [](Tensors& t) {
           named(t, "bn1.running_var")->values[0] = std::numeric_limits<float>::quiet_NaN();
         });
       },
       "bn1.running_var holds a variance"}};
}

std::vector<Damage> damaged_cards() {
  using Path = std::filesystem::path;
  return {
      {"OtherNetwork",
       [](const Path& f) { write_model_card(f / "model.json", test::card_of(lenet())); },
       "model.safetensors"},
      {"CardDoesNotFitSpec",
       [](const Path& f) {
         ModelCard card = test::card_of(test::network_of("mini"));
         card.input_height += 1;
         write_model_card(f / "model.json", card);
       },
       "do not fit its spec"},
      {"TwoLayersOfOneName",
       [](const Path& f) {
         ModelSpec spec = test::network_of("mini");
         spec.layers[1].name = "conv1";
         write_model_card(f / "model.json", test::card_of(spec));
       },
       "two layers named"},
      {"NothingToCompute",
       [](const Path& f) {
         const ModelSpec spec{.name = "void",
                              .height = 1,
                              .width = 1,
                              .channels = 3,
                              .class_count = 3,
                              .layers = {{.kind = LayerKind::flatten, .name = "flatten"}}};
         test::write_model(f, spec, 1);
       },
       "has no layer that computes anything"},
  };
}

std::vector<Damage> damages() {
  std::vector<Damage> all = damaged_files();
  for (const auto& more : {damaged_tensors(), damaged_cards()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

class DamagedModel : public InferModel, public testing::WithParamInterface<Damage> {};

TEST_P(DamagedModel, IsRefusedByName) {
  const std::filesystem::path model = folder() / "model";
  test::write_model(model, test::network_of("mini"), 3);
  ASSERT_NO_THROW(Model::load(model));
  GetParam().harm(model);
  try {
    Model::load(model);
    FAIL() << "was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().says));
  }
}

INSTANTIATE_TEST_SUITE_P(Damages, DamagedModel, testing::ValuesIn(damages()),
                         [](const auto& damage) { return std::string(damage.param.name); });

TEST_F(InferModel, ManyThreadsShareIt) {
  const ModelSpec spec = test::network_of("mini");
  const auto model = drawn(spec);
  const std::vector<float> x = test::drawn_pictures(spec, 3, 9);
  const auto results = [&] {
    Log log(stderr, LogLevel::quiet);
    Session session(model, {.max_batch = 4}, log);
    std::vector<float> all;
    for (int i = 0; i < 20; ++i) {
      session.set_values(0, x);
      session.run(3);
      const std::span<const float> out = session.outputs(0, 3);
      all.assign(out.begin(), out.end());
    }
    return all;
  };
  const std::vector<float> wanted = results();
  std::vector<std::vector<float>> got(4);
  std::vector<std::thread> threads;
  for (auto& mine : got) threads.emplace_back([&] { mine = results(); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& mine : got) EXPECT_EQ(mine, wanted);
}

}  // namespace
}  // namespace kiln::infer
