#include "models/model_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

using testing::HasSubstr;

ModelCard lenet_card() {
  ModelCard card;
  card.name = "lenet";
  card.spec = R"({"layers":[{"type":"conv2d"}]})";
  card.classes = {"airplane", "auto\"mobile", "Vögel"};
  card.input_height = 32;
  card.input_width = 32;
  card.input_channels = 3;
  card.mean = {0.5, 0.25, 0.4914};
  card.std = {0.5, 0.1, 0.2023};
  card.accuracy = 0.6342;
  card.data_name = "shapes-10";
  card.data_origin = "drawn";
  card.synthetic = true;
  card.files = {{"model.safetensors", 251808, std::string(64, 'a')}};
  return card;
}

class ModelCardTest : public TempFolderTest {};

TEST_F(ModelCardTest, RoundTrip) {
  const ModelCard card = lenet_card();
  write_model_card(folder() / "model.json", card);
  const ModelCard back = read_model_card(folder() / "model.json");
  EXPECT_EQ(back.name, card.name);
  EXPECT_EQ(back.spec, card.spec);
  EXPECT_EQ(back.classes, card.classes);
  EXPECT_EQ(back.input_channels, 3);
  EXPECT_EQ(back.mean, card.mean);  // exact: numbers are written with all their digits
  EXPECT_EQ(back.std, card.std);
  EXPECT_EQ(back.accuracy, card.accuracy);
  EXPECT_EQ(back.data_origin, "drawn");
  EXPECT_TRUE(back.synthetic);
  EXPECT_EQ(back.files, card.files);
  EXPECT_EQ(to_json(back), to_json(card));
}

TEST_F(ModelCardTest, ACardOfBeforeHasNoFiles) {
  ModelCard card = lenet_card();
  card.files.clear();
  EXPECT_EQ(to_json(card).find("files"), std::string::npos);
  EXPECT_TRUE(parse_model_card(to_json(card), "model.json").files.empty());
}

TEST_F(ModelCardTest, PerImageNormalisationHasNoConstantsAndAccuracyMayBeUnknown) {
  ModelCard card = lenet_card();
  card.normalisation = NormalisationMode::per_image;
  card.mean.clear();
  card.std.clear();
  card.accuracy.reset();
  write_model_card(folder() / "model.json", card);
  const ModelCard back = read_model_card(folder() / "model.json");
  EXPECT_EQ(back.normalisation, NormalisationMode::per_image);
  EXPECT_EQ(back.accuracy, std::nullopt);
}

TEST_F(ModelCardTest, NothingIsWrittenForACardThatCouldNotBeRead) {
  ModelCard card = lenet_card();
  card.std = {1.0};
  EXPECT_THROW(write_model_card(folder() / "model.json", card), Error);
  EXPECT_FALSE(std::filesystem::exists(folder() / "model.json"));
}

struct Fault {
  const char* name;
  const char* find;     // in the good text
  const char* replace;  // what stands there instead
  const char* wrong;    // part of the message
};

class ModelCardFault : public testing::TestWithParam<Fault> {};

TEST_P(ModelCardFault, IsNamed) {
  std::string text = to_json(lenet_card());
  const std::size_t at = text.find(GetParam().find);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, std::string(GetParam().find).size(), GetParam().replace);
  try {
    parse_model_card(text, "model.json");
    FAIL() << "taken: " << text;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("model.json: "));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().wrong));
  }
}

const std::string kDeep =
    R"("spec": {"x":)" + std::string(80, '[') + std::string(80, ']') + "}, \"y\": {";

INSTANTIATE_TEST_SUITE_P(
    Faults, ModelCardFault,
    testing::ValuesIn(std::vector<Fault>{
        {"Format", "kiln-model", "onnx", "\"format\" must be \"kiln-model\""},
        {"Version", "\"version\": 1", "\"version\": 2", "\"version\" is 2; this kiln reads"},
        {"VersionNegative", "\"version\": 1", "\"version\": -1", "\"version\" must be"},
        {"Missing", "\"accuracy\": 0.6342,", "", "\"accuracy\" is missing"},
        {"Unknown", "\"accuracy\"", "\"acuracy\"", "\"acuracy\" is not a key"},
        {"Twice", "\"name\": \"lenet\",", "\"name\": \"a\", \"name\": \"b\",", "\"name\" twice"},
        {"TwiceInside", "\"height\": 32,", "\"height\": 32, \"height\": 32,", "\"height\" twice"},
        {"NameType", "\"lenet\"", "7", "\"name\" must be a text"},
        {"SpecType", "\"spec\": {", "\"spec\": 1, \"data\": {", "key \"data\" twice"},
        {"Height", "\"height\": 32", "\"height\": 0", "\"input.height\" must be a whole number"},
        {"HeightHuge", "\"height\": 32", "\"height\": 99999999", "\"input.height\" must be"},
        {"HeightFraction", "\"height\": 32", "\"height\": 32.5", "\"input.height\" must be"},
        {"Mode", "\"constants\"", "\"magic\"", "\"normalisation.mode\" must be"},
        {"MeanCount", "0.25,", "", "\"normalisation.mean\" must have 3 numbers"},
        {"StdZero", "0.1,", "0.0,", "\"normalisation.std\" must be above zero"},
        {"StdText", "0.1,", "\"x\",", "\"normalisation.std\" must be an array of numbers"},
        {"Accuracy", "0.6342", "1.5", "\"accuracy\" must be null or a number"},
        {"AccuracyNan", "0.6342", "NaN", "is not JSON"},
        {"AccuracyInf", "0.6342", "1e999", "model.json"},
        {"ClassTwice", "\"airplane\"", "\"Vögel\"", "names a class twice"},
        {"ClassEmpty", "\"airplane\"", "\"\"", "\"classes\" must be"},
        {"Synthetic", "\"synthetic\": true", "\"synthetic\": 1", "\"data.synthetic\" must be"},
        {"FilesType", "\"files\": [", "\"files\": [1, ", "\"files[0]\" must be an object"},
        {"FileUnknown", "\"bytes\"", "\"size\"", "\"files[0].size\" is not a key"},
        {"FileBytes", "251808", "-1", "\"files[0].bytes\" must be a whole number"},
        {"FileDigest", "aaaa", "AAAA", "\"files[0].sha256\" must be 64 digits"},
        {"FileElsewhere", "model.safetensors", "../model.safetensors", "the same folder"},
        {"FileParent", "model.safetensors", "..", "the same folder"},
        {"FileNul", "model.safetensors", "a\\u0000b", "the same folder"},
        {"FileNameless", "model.safetensors", "", "the same folder"},
        {"Deep", "\"spec\": {", kDeep.c_str(), "nested deeper than 64"},
        {"NotJson", "{", "<", "is not JSON"},
    }),
    [](const auto& fault) { return std::string(fault.param.name); });

TEST(ModelCard, WholeDocumentsThatAreNoCards) {
  for (const char* text : {"", "null", "[]", "7", "\"x\"", "{}"})
    EXPECT_THROW(parse_model_card(text, "model.json"), Error) << text;
}

}  // namespace
}  // namespace kiln
