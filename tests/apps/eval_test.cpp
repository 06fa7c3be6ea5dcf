#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "apps/common/batch_runner.h"
#include "models/zoo.h"
#include "tests/apps/app_test.h"
#include "tests/support/devices.h"

namespace kiln::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using Eval = AppTest;

TEST_F(Eval, ScoresEveryPictureOnce) {
  constexpr std::int64_t kCount = 23;  // with batches of 8 the last has 7
  const std::string model = save_random_model(lenet()), data = save_cifar(kCount);
  const ProcessResult result =
      run_process({"kiln", "eval", model, "--data", data, "--batch-size", "8", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json answer = json::parse(result.out);

  // The same by one network that takes one picture at a time.
  const auto loaded = load_model(model, DType::f32, Device{});
  TestContext context;
  ThreadPool pool(1);
  Log log(stderr, LogLevel::quiet);
  const Dataset set = load_dataset(data, Split::test, log, pool);
  ASSERT_EQ(set.size(), kCount);
  Conv2dProviders providers = make_cpu_conv2d_providers(log);
  BatchRunner runner(*loaded, context, providers, 1);
  double loss = 0;
  std::int64_t hits = 0;
  std::vector<std::vector<std::int64_t>> confusion(10, std::vector<std::int64_t>(10, 0));
  for (std::int64_t i = 0; i < kCount; ++i) {
    Network& network =
        runner.run(set.image(i), set.labels().subspan(static_cast<std::size_t>(i), 1));
    const BatchResult one = network.loss(context);
    loss += one.loss_sum / kCount;
    hits += one.hit_count;
    const int predicted = first_largest(network.logits().elements<const float>());
    ++confusion[static_cast<std::size_t>(set.label(i))][static_cast<std::size_t>(predicted)];
  }
  EXPECT_EQ(answer["images"], kCount);
  EXPECT_EQ(answer["hits"], hits);
  EXPECT_NEAR(answer["loss"].get<double>(), loss, 1e-5);
  EXPECT_NEAR(answer["accuracy"].get<double>(), static_cast<double>(hits) / kCount, 1e-12);
  EXPECT_EQ(answer["confusion"].get<decltype(confusion)>(), confusion);
  EXPECT_EQ(answer["data"]["split"], "test");
  std::int64_t images = 0;
  for (const json& one : answer["classes"]) images += one["images"].get<std::int64_t>();
  EXPECT_EQ(images, kCount);
}

TEST_F(Eval, ScoresAreThoseOfTheMeanOverTheViews) {
  constexpr std::int64_t kCount = 9;
  const std::string model = save_random_model(lenet()), data = save_cifar(kCount);
  json answers[3];
  const char* const names[] = {"none", "mirror", "translate"};
  for (int i = 0; i < 3; ++i) {
    const ProcessResult result =
        run_process({"kiln", "eval", model, "--data", data, "--tta", names[i], "--batch-size", "4",
                     "--json", "--report", path("page.html")});
    ASSERT_EQ(result.code, 0) << result.err;
    answers[i] = json::parse(result.out);
    EXPECT_EQ(answers[i]["tta"], names[i]);
    EXPECT_EQ(answers[i]["images"], kCount);
    std::int64_t counted = 0;
    for (const json& row : answers[i]["confusion"])
      for (const json& count : row) counted += count.get<std::int64_t>();
    EXPECT_EQ(counted, kCount);
  }
  EXPECT_NE(answers[0]["loss"], answers[1]["loss"]);
  EXPECT_NE(answers[1]["loss"], answers[2]["loss"]);
  const ProcessResult table =
      run_process({"kiln", "eval", model, "--data", data, "--tta", "mirror"});
  EXPECT_THAT(table.out, HasSubstr("\nviews     2 of each picture (mirror)\n"));
  EXPECT_TRUE(refused(run_process({"kiln", "eval", model, "--data", data, "--tta", "all"}), 2,
                      {"--tta: "}));
}

TEST_F(Eval, TableNamesLossAccuracyAndClasses) {
  const std::string model = save_random_model(lenet()), data = save_cifar(5);
  const ProcessResult result =
      run_process({"kiln", "eval", model, "--data", data, "--split", "train"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("62,006 parameters"));
  EXPECT_THAT(result.out, HasSubstr("(training), 25 pictures of 32x32x3"));
  EXPECT_THAT(result.out, HasSubstr("\naccuracy  "));
  EXPECT_THAT(result.out, HasSubstr("images/s"));
  EXPECT_THAT(result.out, HasSubstr("\nairplane "));
}

TEST_F(Eval, WritesNothingUnlessAskedTo) {
  const std::string model = save_random_model(lenet()), data = save_cifar(4);
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder()))
      names.push_back(entry.path().string());
    std::ranges::sort(names);
    return names;
  };
  const auto before = files();
  ASSERT_EQ(run_process({"kiln", "eval", model, "--data", data}).code, 0);
  EXPECT_EQ(files(), before);
  const ProcessResult result =
      run_process({"kiln", "eval", model, "--data", data, "--report", path("page.html")});
  ASSERT_EQ(result.code, 0) << result.err;
  const std::string page = read_text_file(path("page.html"), 1 << 26);
  EXPECT_THAT(page, HasSubstr("data:image/png;base64,"));
  EXPECT_THAT(page, HasSubstr("lenet"));
}

TEST_F(Eval, WhatDoesNotFitIsOneLine) {
  const std::string data = save_cifar(4);
  const std::string grey = save_random_model(mnist());
  EXPECT_TRUE(refused(run_process({"kiln", "eval", grey, "--data", data}), 1,
                      {"takes pictures of 28x28 with 1 channel", "32x32 with 3 channels"}));
  const std::string three = save_random_model(lenet(3));
  EXPECT_TRUE(refused(run_process({"kiln", "eval", three, "--data", data}), 1,
                      {"tells 3 classes apart but the data has 10"}));
  EXPECT_TRUE(refused(run_process({"kiln", "eval", three, "--data", path("nowhere")}), 1,
                      {path("nowhere")}));
  EXPECT_TRUE(refused(run_process({"kiln", "eval", path("nowhere"), "--data", data}), 1,
                      {"is not a model directory"}));
  EXPECT_TRUE(refused(run_process({"kiln", "eval", three, "--data", data, "--split", "both"}), 2,
                      {"--split: "}));
}

TEST_F(Eval, ClassesInAnotherOrderAreRefused) {
  const std::string model = save_random_model(lenet()), data = save_cifar(4);
  std::string names = "frog\n";  // the names of CIFAR-10 with two exchanged
  for (const std::string_view name : cifar10_class_names().subspan(1))
    names += std::string(name == "frog" ? "airplane" : name) + "\n";
  write("cifar/batches.meta.txt", names);
  EXPECT_TRUE(
      refused(run_process({"kiln", "eval", model, "--data", data}), 1, {"in another order"}));
}

TEST_F(Eval, NaNInTheWeightsIsNamed) {
  const std::string model = save_random_model(lenet()), data = save_cifar(4);
  std::string bytes = read_text_file(model + "/model.safetensors", 1 << 24);
  bytes.replace(bytes.size() - 4, 4, std::string(4, '\xff'));  // the last value becomes NaN
  write("model-lenet/model.safetensors", bytes);
  EXPECT_TRUE(refused(run_process({"kiln", "eval", model, "--data", data}), 1,
                      {"answers with NaN or infinity to picture 0"}));
}

}  // namespace
}  // namespace kiln::test
