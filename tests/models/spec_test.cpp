#include "models/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "models/parameter_layout.h"
#include "models/zoo.h"

namespace kiln {
namespace {

std::string error_of(std::string_view json) {
  try {
    parse_spec(json, "net.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Zoo, LenetHasTheWorkshopsShapes) {
  const std::vector<Shape> shapes = check_spec(lenet());
  EXPECT_EQ(shapes[0], (Shape{1, 28, 28, 6}));
  EXPECT_EQ(shapes[3], (Shape{1, 10, 10, 16}));
  EXPECT_EQ(shapes[6], (Shape{1, 400}));
}

TEST(Zoo, EveryNetworkEndsInItsClasses) {
  for (const std::string& name : model_names())
    EXPECT_EQ(check_spec(find_model(name, 7)).back(), (Shape{1, 7})) << name;
}

TEST(Zoo, UnknownNamesListTheKnownOnes) {
  try {
    find_model("lenett", 10);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("resnet18"));
    EXPECT_EQ(error.exit_code(), 2);
  }
}

TEST(Spec, SurvivesTheTripThroughJson) {
  for (const std::string& name : model_names()) {
    const ModelSpec spec = find_model(name, 10);
    EXPECT_EQ(parse_spec(to_json(spec), "test"), spec) << name;
  }
}

TEST(Spec, ErrorsNameTheLayerAndTheFault) {
  using testing::HasSubstr;
  EXPECT_THAT(error_of("{"), HasSubstr("net.json"));
  EXPECT_THAT(error_of(R"({"layers": 3})"), HasSubstr("net.json.layers: is not a list"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "conv3d"}]})"), HasSubstr("conv3d"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "conv2d", "out_channels": 4}]})"),
              HasSubstr("layers[0]: lacks \"kernel_size\""));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "relu", "colour": 1}]})"), HasSubstr("colour"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "linear", "out_features": -3}]})"),
              HasSubstr("out_features"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "linear", "out_features": 9}]})"),
              HasSubstr("ends in [1, 9]"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "linear", "name": "a", "out_features": 9},
                                      {"type": "linear", "name": "a", "out_features": 10}]})"),
              HasSubstr("two layers named"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "max_pool", "kernel_size": 40}]})"),
              HasSubstr("larger than the picture"));
}

TEST(Spec, ResidualPathsMustMeet) {
  EXPECT_THAT(error_of(R"({"layers": [{"type": "residual", "name": "block", "body":
                [{"type": "conv2d", "name": "c", "out_channels": 8, "kernel_size": 1}]}]})"),
              testing::HasSubstr("layer block"));
}

TEST(Zoo, ResNet9HasTheKnownSize) {
  std::int64_t count = 0;
  for (const ParameterLayout& layout : parameter_layouts(resnet9()))
    if (layout.trainable()) count += layout.shape.element_count();
  EXPECT_EQ(count, 6'573'120);
}

// The shapes of the recipe, and what of them is trained.
TEST(Zoo, Speedrun94IsTheRecipesNetwork) {
  const ModelSpec spec = speedrun94();
  const std::vector<Shape> shapes = check_spec(spec);
  EXPECT_EQ(shapes[0], (Shape{1, 31, 31, 24}));
  EXPECT_EQ(shapes[3], (Shape{1, 15, 15, 64}));
  EXPECT_EQ(shapes[8], (Shape{1, 15, 15, 64}));
  EXPECT_EQ(shapes[shapes.size() - 4], (Shape{1, 1, 1, 256}));
  std::int64_t trained = 0;
  std::vector<std::string> fixed;
  for (const ParameterLayout& layout : parameter_layouts(spec))
    if (layout.trainable())
      trained += layout.shape.element_count();
    else if (layout.role == ParameterRole::weight || layout.role == ParameterRole::norm_scale)
      fixed.push_back(layout.name);
  EXPECT_EQ(trained,
            24 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 2 * 64 + 4 * 256 + 256 * 10);
  EXPECT_THAT(
      fixed, testing::ElementsAre("whiten.weight", "layers.1.norm1.weight", "layers.1.norm2.weight",
                                  "layers.2.norm1.weight", "layers.2.norm2.weight",
                                  "layers.3.norm1.weight", "layers.3.norm2.weight"));
}

TEST(Spec, KeysOfWhatIsNotTrainedStandOnlyWhereTheySaySomething) {
  EXPECT_THAT(to_json(resnet18()), testing::Not(testing::AnyOf(testing::HasSubstr("trained"),
                                                               testing::HasSubstr("initial"),
                                                               testing::HasSubstr("scale"))));
  const std::string text = to_json(speedrun94());
  for (const char* key :
       {"\"trained\": false", "\"initialisation\": \"whitening\"", "\"initialisation\": \"dirac\"",
        "\"initialisation\": \"unit_std\"", "\"scale\": false", "\"factor\": 0.00390625"})
    EXPECT_THAT(text, testing::HasSubstr(key));
}

TEST(Spec, InitialisationsThatDoNotFitAreRefused) {
  using testing::HasSubstr;
  const auto conv = [](const std::string& keys) {
    return error_of(R"({"layers": [{"type": "conv2d", "kernel_size": 2, )" + keys + "}]}");
  };
  EXPECT_THAT(conv(R"("out_channels": 24, "initialisation": "orthogonal")"),
              HasSubstr("unknown initialisation \"orthogonal\""));
  EXPECT_THAT(conv(R"("out_channels": 24, "trained": 1)"), HasSubstr("not true or false"));
  EXPECT_THAT(conv(R"("out_channels": 24, "initialisation": "dirac")"), HasSubstr("odd kernels"));
  EXPECT_THAT(conv(R"("out_channels": 23, "initialisation": "whitening")"),
              HasSubstr("24 output channels"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "relu"}, {"type": "conv2d", "out_channels": 24,
                          "kernel_size": 2, "initialisation": "whitening"}]})"),
              HasSubstr("does not read the network's input"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "linear", "out_features": 10,
                          "initialisation": "dirac"}]})"),
              HasSubstr("unknown initialisation"));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "scale"}]})"), HasSubstr("lacks \"factor\""));
  EXPECT_THAT(error_of(R"({"layers": [{"type": "batch_norm", "scale": 1}]})"),
              HasSubstr("not true or false"));
}

TEST(Spec, NestingIsBounded) {
  std::string bomb(100000, '[');
  EXPECT_THAT(error_of(bomb), testing::Not(testing::StrEq("no error")));
}

TEST(Spec, SizesThatNoMachineTrainsAreRefused) {
  using testing::HasSubstr;
  EXPECT_THAT(error_of(R"({"layers": [{"type": "conv2d", "out_channels": 65536, "kernel_size": 1,
                                      "padding": 65536}]})"),
              HasSubstr("too many values"));
  EXPECT_THAT(error_of(R"({"input": {"height": 65536, "width": 65536, "channels": 65536},
                          "layers": []})"),
              HasSubstr("too many values"));
  EXPECT_THAT(error_of(R"({"input": {"height": 1024, "width": 1024, "channels": 1024},
                          "layers": [{"type": "linear", "out_features": 65536}]})"),
              HasSubstr("too many weights"));
}

TEST(Spec, CountsMultiplications) {
  const ModelSpec spec = lenet();
  EXPECT_EQ(multiply_count(spec.layers[0], {1, 32, 32, 3}), 28 * 28 * 6 * 75);
  EXPECT_EQ(multiply_count(spec.layers[7], {1, 400}), 400 * 120);
}

}  // namespace
}  // namespace kiln
