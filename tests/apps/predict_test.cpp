#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "apps/common/batch_runner.h"
#include "engine/image/image_codec.h"
#include "models/zoo.h"
#include "tests/apps/app_test.h"
#include "tests/support/devices.h"

namespace kiln::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using Predict = AppTest;

// What the network says about one picture, computed here.
std::vector<float> direct_probabilities(const std::string& model_path,
                                        const std::vector<std::uint8_t>& pixels) {
  const auto model = load_model(model_path, DType::f32, Device{});
  TestContext context;
  Conv2dProviders providers = make_cpu_conv2d_providers(context.get().log());
  BatchRunner runner(*model, context, providers, 1);
  const std::int32_t label = 0;
  return probabilities(runner.run(pixels, std::span(&label, 1)).logits(), 0);
}

TEST_F(Predict, SaysWhatTheNetworkSays) {
  const std::string model = save_random_model(lenet());
  save_picture("pictures/b.png", 32, 32, 3, 11);
  save_picture("pictures/a/deep.PNG", 32, 32, 3, 12);
  save_picture("pictures/.hidden/no.png", 32, 32, 3, 13);
  write("pictures/notes.txt", "no picture");
  const ProcessResult result = run_process({"kiln", "predict", model, path("pictures"), "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json answer = json::parse(result.out);
  ASSERT_EQ(answer.size(), 2u);
  EXPECT_EQ(answer[0]["file"], path("pictures/a/deep.PNG"));
  EXPECT_EQ(answer[1]["file"], path("pictures/b.png"));
  for (std::size_t i = 0; i < 2; ++i) {
    const auto wanted = direct_probabilities(model, random_bytes(32 * 32 * 3, i == 0 ? 12u : 11u));
    double sum = 0;
    for (std::size_t k = 0; k < wanted.size(); ++k) {
      const std::string name(cifar10_class_names()[k]);
      const double got = answer[i]["probabilities"][name].get<double>();
      EXPECT_NEAR(got, static_cast<double>(wanted[k]), 1e-6) << name;
      sum += got;
    }
    EXPECT_NEAR(sum, 1.0, 1e-5);
    const auto best = static_cast<std::size_t>(first_largest(wanted));
    EXPECT_EQ(answer[i]["class"], cifar10_class_names()[best]);
    EXPECT_EQ(answer[i]["probability"], answer[i]["probabilities"][cifar10_class_names()[best]]);
  }
}

TEST_F(Predict, BatchesAndThreadsChangeNothing) {
  const std::string model = save_random_model(lenet());
  for (int i = 0; i < 7; ++i)
    save_picture("p/" + std::to_string(i) + ".png", 20 + i, 40 - i, 3,
                 static_cast<std::uint32_t>(i));
  const auto run = [&](const char* batch, const char* threads) {
    return run_process({"kiln", "predict", model, path("p"), "--csv", "--batch_size", batch,
                        "--threads", threads});
  };
  const ProcessResult whole = run("64", "1"), cut = run("3", "2");
  EXPECT_EQ(whole.code, 0) << whole.err;
  EXPECT_EQ(whole.out, cut.out);
  const auto lines = lines_of(whole.out);
  ASSERT_EQ(lines.size(), 8u);
  EXPECT_THAT(lines[0], testing::StartsWith("file,class,probability,p_airplane,"));
  EXPECT_THAT(lines[1], HasSubstr("/p/0.png,"));
}

// Resizing is the data room's; a grey model gets grey pictures.
TEST_F(Predict, PicturesAreBroughtToTheModelsInput) {
  const std::string model = save_random_model(mnist());
  save_picture("large.png", 56, 56, 3, 5);
  const ProcessResult result = run_process({"kiln", "predict", model, path("large.png"), "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Image grey = decode_image(read_file(path("large.png"), 1 << 20), "large.png", 1);
  std::vector<std::uint8_t> small(28 * 28);  // every new pixel is the mean of four
  for (std::size_t y = 0; y < 28; ++y)
    for (std::size_t x = 0; x < 28; ++x) {
      const std::size_t at = 2 * y * 56 + 2 * x;
      const int sum =
          grey.bytes[at] + grey.bytes[at + 1] + grey.bytes[at + 56] + grey.bytes[at + 57];
      small[y * 28 + x] = static_cast<std::uint8_t>((sum + 2) / 4);
    }
  const auto wanted = direct_probabilities(model, small);
  const json answer = json::parse(result.out)[0]["probabilities"];
  for (std::size_t k = 0; k < wanted.size(); ++k)
    EXPECT_NEAR(answer[std::string(cifar10_class_names()[k])].get<double>(),
                static_cast<double>(wanted[k]), 1e-6);
}

TEST_F(Predict, ABrokenPictureIsNamedAndTheOthersStillCount) {
  const std::string model = save_random_model(lenet());
  const std::string good = save_picture("good.png", 32, 32, 3, 1);
  write("empty.png", "");
  write("text.jpg", "this is no picture");
  const std::string whole = read_text_file(good, 1 << 20);
  write("cut.png", whole.substr(0, whole.size() / 2));
  const ProcessResult result =
      run_process({"kiln", "predict", model, path("empty.png"), path("text.jpg"), good,
                   path("cut.png"), path("missing.png"), "--json"});
  EXPECT_EQ(result.code, 1);
  const json answer = json::parse(result.out);
  ASSERT_EQ(answer.size(), 1u);
  EXPECT_EQ(answer[0]["file"], good);
  for (const char* name : {"empty.png", "text.jpg", "cut.png", "missing.png"})
    EXPECT_THAT(result.err, HasSubstr("kiln predict: " + path(name) + ": "));
}

TEST_F(Predict, TableShowsTheMostProbableClassesAsBars) {
  const std::string model = save_random_model(lenet());
  const std::string picture = save_picture("one.png", 32, 32, 3, 1);
  const ProcessResult result = run_process({"kiln", "predict", model, picture, "--top", "2"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto lines = lines_of(result.out);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], picture);
  EXPECT_THAT(lines[1], HasSubstr(" %"));
  EXPECT_THAT(result.err, HasSubstr("decoder: "));
}

TEST_F(Predict, ContactSheetIsAPicture) {
  const std::string model = save_random_model(lenet());
  const std::string picture = save_picture("one.png", 32, 32, 3, 1);
  const ProcessResult result =
      run_process({"kiln", "predict", model, picture, "--contact-sheet", path("sheet.png")});
  ASSERT_EQ(result.code, 0) << result.err;
  const Image sheet = decode_image(read_file(path("sheet.png"), 1 << 24), "sheet.png");
  EXPECT_GT(sheet.width, 32);
}

TEST_F(Predict, FaultyModelsAndArgumentsAreOneLine) {
  const std::string picture = save_picture("one.png", 32, 32, 3, 1);
  EXPECT_TRUE(refused(run_process({"kiln", "predict", path("nowhere"), picture}), 1,
                      {"nowhere: is not a model directory"}));
  make_directories(path("hollow"));
  EXPECT_TRUE(refused(run_process({"kiln", "predict", path("hollow"), picture}), 1,
                      {"hollow/model.json: "}));
  const std::string model = save_random_model(lenet());
  EXPECT_TRUE(refused(run_process({"kiln", "predict", model, path("none.png")}), 1,
                      {"none.png: cannot open: No such file"}));
  make_directories(path("bare"));
  EXPECT_TRUE(refused(run_process({"kiln", "predict", model, path("bare")}), 1, {"holds no"}));
  EXPECT_TRUE(
      refused(run_process({"kiln", "predict", model, picture, "--json", "--csv"}), 2, {"--csv"}));
}

TEST_F(Predict, DamagedWeightsAreRefused) {
  const std::string model = save_random_model(lenet());
  const std::string picture = save_picture("one.png", 32, 32, 3, 1);
  const std::string whole = read_text_file(model + "/model.safetensors", 1 << 24);
  const auto run = [&] { return run_process({"kiln", "predict", model, picture}); };
  ASSERT_EQ(run().code, 0);
  for (const std::size_t kept :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, whole.size() - 1}) {
    write("model-lenet/model.safetensors", whole.substr(0, kept));
    EXPECT_TRUE(refused(run(), 1, {"model.safetensors: "})) << kept << " bytes";
  }
  std::string other = read_text_file(model + "/model.json", 1 << 20);
  write("model-lenet/model.safetensors", whole);
  write("model-lenet/model.json", other.substr(0, other.size() / 2));
  EXPECT_TRUE(refused(run(), 1, {"model.json: "}));
  write("model-lenet/model.json", "{}");
  EXPECT_TRUE(refused(run(), 1, {"model.json: "}));
}

}  // namespace
}  // namespace kiln::test
