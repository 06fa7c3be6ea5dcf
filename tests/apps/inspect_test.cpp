#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "engine/image/image_codec.h"
#include "models/zoo.h"
#include "tests/apps/app_test.h"

namespace kiln::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using Inspect = AppTest;

json inspect(const std::string& subject, const std::string& batch_size = "4") {
  const ProcessResult result =
      run_process({"kiln", "inspect", subject, "--json", "--batch-size", batch_size});
  EXPECT_EQ(result.code, 0) << result.err;
  return json::parse(result.out, nullptr, false);
}

std::int64_t parameters_of_rows(const json& answer) {
  std::int64_t count = 0;
  for (const json& row : answer["layers"])
    if (row["depth"] == 0) count += row["parameters"].get<std::int64_t>();
  return count;
}

TEST_F(Inspect, CountsParametersAndWork) {
  const std::pair<const char*, std::int64_t> kKnown[] = {
      {"lenet", 62006}, {"mnist", 21840}, {"resnet18", 11173962}};
  for (const auto& [name, count] : kKnown) {
    const json answer = inspect(name, "2");
    EXPECT_EQ(answer["parameters"], count) << name;
    EXPECT_EQ(parameters_of_rows(answer), count) << name;
  }
  // conv1 28*28*6*75, conv2 10*10*16*150, fc 400*120 + 120*84 + 84*10
  EXPECT_EQ(inspect("lenet")["multiply_adds"], 352800 + 240000 + 48000 + 10080 + 840);
}

TEST_F(Inspect, RowsNameShapesAndAlgorithms) {
  const ProcessResult result = run_process({"kiln", "inspect", "resnet18", "--batch-size", "2"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("11,173,962"));
  EXPECT_THAT(result.out, HasSubstr("\n  layer4.1.conv2"));
  EXPECT_THAT(result.out, HasSubstr("32x32x64"));
  EXPECT_THAT(result.out, HasSubstr("batch_norm + relu"));
  EXPECT_THAT(result.out, HasSubstr("without sharing"));
  EXPECT_THAT(run_process({"kiln", "inspect", "lenet", "--memory"}).out,
              HasSubstr("training plan:\nslot "));
}

TEST_F(Inspect, MemoryGrowsWithTheBatchAndSharingSavesSome) {
  const json small = inspect("lenet", "8")["memory"], large = inspect("lenet", "80")["memory"];
  const auto bytes = [](const json& memory, const char* plan, const char* what) {
    return memory[plan][what].get<std::int64_t>();
  };
  EXPECT_GT(bytes(large, "training", "arena_bytes"), 5 * bytes(small, "training", "arena_bytes"));
  for (const char* plan : {"training", "inference"})
    EXPECT_LT(bytes(large, plan, "arena_bytes"), bytes(large, plan, "separate_bytes"));
  EXPECT_LT(bytes(large, "inference", "arena_bytes"), bytes(large, "training", "arena_bytes"));
  EXPECT_GE(large["parameter_bytes"].get<std::int64_t>(), 4 * 62006);
}

TEST_F(Inspect, ReadsSpecFilesAndModelDirectories) {
  write("mine.json", to_json(lenet(7)));
  EXPECT_EQ(inspect(path("mine.json"))["class_count"], 7);
  const std::string model = save_random_model(lenet());
  const json answer = inspect(model);
  EXPECT_EQ(answer["parameters"], 62006);
  EXPECT_EQ(answer["classes"][0], "airplane");
}

TEST_F(Inspect, DrawsTheFirstFilters) {
  const std::string model = save_random_model(lenet());
  const ProcessResult result = run_process(
      {"kiln", "inspect", model, "--filters", path("filters.png"), "--preview", "--memory"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Image picture = decode_image(read_file(path("filters.png"), 1 << 24), "filters.png");
  EXPECT_GT(picture.width, 5);
  const std::size_t at = result.out.find("first layer:\n");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(lines_of(result.out.substr(at)).size(), 1u + 5u);  // a title, five rows of weights
  EXPECT_TRUE(refused(run_process({"kiln", "inspect", "lenet", "--filters", path("no.png")}), 2,
                      {"--filters: lenet has no trained weights"}));
  EXPECT_FALSE(std::filesystem::exists(path("no.png")));
}

TEST_F(Inspect, FaultySpecsAreOneLine) {
  EXPECT_TRUE(refused(run_process({"kiln", "inspect", "lenets"}), 2,
                      {"lenets: is no model directory, no known network"}));
  EXPECT_TRUE(refused(run_process({"kiln", "inspect", path("none.json")}), 1, {"none.json"}));
  const std::pair<const char*, const char*> kBad[] = {
      {"", "bad.json"},
      {"{", "bad.json"},
      {"[]", "bad.json"},
      {"{\"layers\": [{\"type\": \"conv3d\"}]}", "conv3d"},
      {"{\"layers\": [{\"type\": \"linear\", \"out_features\": 10, \"color\": 1}]}", "color"},
      {"{\"layers\": [{\"type\": \"linear\", \"out_features\": 9}]}", "one output per class"},
      {"{\"layers\": [{\"type\": \"conv2d\", \"out_channels\": 4, \"kernel_size\": 99}]}",
       "larger than the picture"},
      {"{\"input\": {\"height\": 65536, \"width\": 65536, \"channels\": 65536}, "
       "\"layers\": [{\"type\": \"linear\", \"out_features\": 10}]}",
       "kiln inspect: "},
  };
  for (const auto& [text, part] : kBad) {
    write("bad.json", text);
    EXPECT_TRUE(refused(run_process({"kiln", "inspect", path("bad.json")}), 1, {part})) << text;
  }
}

}  // namespace
}  // namespace kiln::test
