#include "engine/payload/inference_protocol.h"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <vector>

namespace kiln::payload {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Two channels of one row and three columns.
constexpr PictureShape kShape{.height = 1, .width = 3, .channels = 2};
constexpr ModelFacts kModel{.name = "le\"net", .version = "2", .shape = kShape, .classes = 2};

InferenceRequest read(std::string_view body, std::optional<std::size_t> json_bytes = {}) {
  return read_inference_request(body, json_bytes, kShape, {.picture_count = 4});
}

// One input with the members that follow its name.
std::string request(const std::string& members) {
  return R"({"inputs":[{"name":"input",)" + members + "}]}";
}

template <class T>
InferenceRequest read_binary(const char* type, const std::vector<T>& numbers,
                             const char* shape = "[1,2,1,3]") {
  const std::size_t size = numbers.size() * sizeof(T);
  std::string body =
      request(std::string("\"shape\":") + shape + ",\"datatype\":\"" + type +
              "\",\"parameters\":{\"binary_data_size\":" + std::to_string(size) + "}");
  const std::size_t json = body.size();
  body.append(reinterpret_cast<const char*>(numbers.data()), size);
  return read(body, json);
}

// What is said of a request, its status checked; empty where it is taken.
template <class Work>
std::string fault_of(int status, const Work& work) {
  try {
    work();
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.status(), status) << refusal.what();
    return refusal.what();
  }
  return {};
}

TEST(InferenceProtocol, DataIsFlatOrNestedInEitherOrder) {
  for (const char* members :
       {R"("shape":[1,2,1,3],"datatype":"UINT8","data":[1,2,3,4,5,6])",
        R"("shape":[1,2,1,3],"datatype":"INT64","data":[[[[1,2,3]],[[4,5,6]]]])",
        R"("data":[1,4,2,5,3,6],"datatype":"UINT8","shape":[1,1,3,2])",
        R"("shape":[2,1,3],"datatype":"UINT16","parameters":{"x":[1]},"data":[1,2,3,4,5,6])"}) {
    const InferenceRequest found = read(request(members));
    EXPECT_EQ(found.pictures.count, 1) << members;
    EXPECT_THAT(found.pictures.bytes, ElementsAre(1, 4, 2, 5, 3, 6)) << members;
    EXPECT_EQ(found.id, std::nullopt);
    EXPECT_FALSE(found.binary_output);
  }
}

TEST(InferenceProtocol, FloatsAreWhatTheNetworkSees) {
  for (const char* type : {"FP16", "FP32", "FP64"})
    EXPECT_THAT(read(request(R"("shape":[1,2,1,3],"data":[1,-2,300,4,5,0.5],"datatype":")" +
                             std::string(type) + "\""))
                    .pictures.values,
                ElementsAre(1, 4, -2, 5, 300, 0.5f));
}

TEST(InferenceProtocol, BinaryTensorsOfEveryType) {
  const auto pixels = ElementsAre(1, 4, 2, 5, 255, 6);
  EXPECT_THAT((read_binary<std::uint8_t>("UINT8", {1, 2, 255, 4, 5, 6}).pictures.bytes), pixels);
  EXPECT_THAT((read_binary<std::uint16_t>("UINT16", {1, 2, 255, 4, 5, 6}).pictures.bytes), pixels);
  EXPECT_THAT((read_binary<std::uint32_t>("UINT32", {1, 2, 255, 4, 5, 6}).pictures.bytes), pixels);
  EXPECT_THAT((read_binary<std::uint64_t>("UINT64", {1, 2, 255, 4, 5, 6}).pictures.bytes), pixels);
  EXPECT_THAT((read_binary<std::int16_t>("INT16", {1, 2, 255, 4, 5, 6}).pictures.bytes), pixels);
  EXPECT_THAT((read_binary<std::int32_t>("INT32", {1, 2, 255, 4, 5, 6}).pictures.bytes), pixels);
  EXPECT_THAT((read_binary<std::int64_t>("INT64", {1, 2, 255, 4, 5, 6}).pictures.bytes), pixels);
  EXPECT_THAT((read_binary<std::int8_t>("INT8", {1, 2, 127, 4, 5, 6}, "[1,1,3,2]").pictures.bytes),
              ElementsAre(1, 2, 127, 4, 5, 6));
  const auto values = ElementsAre(1, 4, -2, 5, 0.5f, 6);
  // numpy.array([1, -2, .5, 4, 5, 6], "<f2").view("<u2")
  EXPECT_THAT((read_binary<std::uint16_t>("FP16", {0x3C00, 0xC000, 0x3800, 0x4400, 0x4500, 0x4600})
                   .pictures.values),
              values);
  EXPECT_THAT((read_binary<float>("FP32", {1, -2, 0.5f, 4, 5, 6}).pictures.values), values);
  EXPECT_THAT((read_binary<double>("FP64", {1, -2, 0.5, 4, 5, 6}).pictures.values), values);
}

TEST(InferenceProtocol, BinaryNumbersOutOfRangeAreNamed) {
  const auto pixel = [](auto work) {
    EXPECT_THAT(fault_of(400, work), HasSubstr("number 2 of the binary data is no pixel"));
  };
  pixel([] { read_binary<std::int8_t>("INT8", {1, 2, -1, 4, 5, 6}); });
  pixel([] { read_binary<std::uint16_t>("UINT16", {1, 2, 256, 4, 5, 6}); });
  pixel([] { read_binary<std::int64_t>("INT64", {1, 2, INT64_MIN, 4, 5, 6}); });
  pixel([] { read_binary<std::uint64_t>("UINT64", {1, 2, UINT64_MAX, 4, 5, 6}); });
  const auto value = [](auto work) {
    EXPECT_THAT(fault_of(400, work), HasSubstr("number 1 of the binary data is NaN, infinite"));
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  value([&] { read_binary<float>("FP32", {1, kInfinity, 3, 4, 5, 6}); });
  value([] { read_binary<double>("FP64", {1, 1e300, 3, 4, 5, 6}); });
  value([] { read_binary<std::uint16_t>("FP16", {0, 0x7E00, 0, 0, 0, 0}); });
}

TEST(InferenceProtocol, OutputsSayHowTheyAreWanted) {
  const std::string input =
      R"("inputs":[{"name":"input","shape":[2,1,3],"datatype":"UINT8","data":[1,2,3,4,5,6]}])";
  const auto wants_binary = [&](const std::string& more) {
    return read("{" + more + input + "}").binary_output;
  };
  EXPECT_FALSE(wants_binary(R"("outputs":[],)"));
  EXPECT_FALSE(wants_binary(R"("outputs":[{"name":"output"}],)"));
  EXPECT_TRUE(wants_binary(R"("parameters":{"binary_data_output":true,"priority":1},)"));
  EXPECT_TRUE(wants_binary(R"("outputs":[{"name":"output","parameters":{"binary_data":true}}],)"));
  EXPECT_FALSE(wants_binary(R"("parameters":{"binary_data_output":true},"outputs":[{"name":)"
                            R"("output","parameters":{"binary_data":false}}],)"));
}

TEST(InferenceProtocol, NullMeansAbsent) {
  const InferenceRequest found =
      read(R"({"id":null,"parameters":null,"outputs":null,"inputs":[{"name":"input",)"
           R"("shape":[2,1,3],"datatype":"UINT8","parameters":null,"data":[1,2,3,4,5,6]}]})");
  EXPECT_EQ(found.id, std::nullopt);
  EXPECT_FALSE(found.binary_output);
  EXPECT_THAT(found.pictures.bytes, ElementsAre(1, 4, 2, 5, 3, 6));
  for (const char* member : {"name", "shape", "datatype"})
    EXPECT_THAT(
        fault_of(400, [&] { read("{\"inputs\":[{\"" + std::string(member) + "\":null}]}"); }),
        HasSubstr("null stands where"))
        << member;
  EXPECT_THAT(fault_of(400, [] { read(R"({"inputs":[{"data":null}]})"); }),
              HasSubstr("`data` is no list of numbers"));
}

struct Hostile {
  std::string body;
  const char* words;
};

TEST(InferenceProtocol, HostileRequestsAreRefusedWithClearWords) {
  const std::string good = R"("shape":[2,1,3],"datatype":"UINT8","data":[1,2,3,4,5,6])";
  const std::string input = R"({"name":"input",)" + good + "}";
  const std::vector<Hostile> table = {
      {"", "byte 0: the text ends"},
      {"[]", "a list stands where an object"},
      {"{}", "no member `inputs`"},
      {R"({"inputs":[]})", "`inputs` is empty"},
      {R"({"inputs":[)" + input + "," + input + "]}", "a second input"},
      {R"({"inputs":[)" + input + R"(],"inputs":[]})", "`inputs` comes twice"},
      {R"({"inputs":[)" + input + R"(],"input":1})", "the member 'input' is not known"},
      {R"({"id":7,"inputs":[)" + input + "]}", "a number stands where a string"},
      {R"({"inputs":[)" + input + "]} x", "something follows"},
      {R"({"inputs":[)" + input + R"(],"outputs":[{"name":"logits"}]})", "no output 'logits'"},
      {R"({"inputs":[)" + input + R"(],"outputs":[{"name":"output"},{"name":"output"}]})",
       "a second output"},
      {R"({"inputs":[)" + input + R"(],"outputs":[{}]})", "an output has no member `name`"},
      {R"({"inputs":[)" + input +
           R"(],"outputs":[{"name":"output","parameters":{"classification":3}}]})",
       "neither classification nor shared memory"},
      {R"({"inputs":[{)" + good + "}]}", "no member `name`"},
      {R"({"inputs":[{"name":"x\ny",)" + good + "}]}", "the model has no input 'x"},
      {request(R"("shape":[6],"datatype":"UINT8","data":[1,2,3,4,5,6])"), "the shape [6]"},
      {request(R"("shape":[0,2,1,3],"datatype":"UINT8","data":[])"), "holds no picture"},
      {request(R"("shape":[-1,2,1,3],"datatype":"UINT8","data":[])"), "holds no picture"},
      {request(R"("shape":[1,1,1,1,1],"datatype":"UINT8","data":[])"), "more than 4 extents"},
      {request(R"("shape":[1.0],"datatype":"UINT8","data":[])"), "no whole number"},
      {request(R"("datatype":"UINT8","data":[])"), "no member `shape`"},
      {request(R"("shape":[2,1,3],"data":[])"), "no member `datatype`"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8")"), "no member `data`"},
      {request(good + R"(,"data":[])"), "`data` comes twice"},
      {request(good + R"(,"dtype":"x")"), "'dtype' is not known"},
      {request(R"("shape":[2,1,3],"datatype":"BOOL","data":[])"), "'BOOL' is not taken"},
      {request(R"("shape":[2,1,3],"datatype":"BYTES","data":[])"), "'BYTES' is not taken"},
      {request(R"("shape":[2,1,3],"datatype":"uint8","data":[])"), "'uint8' is not taken"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8","data":"AQID")"), "no list of numbers"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8","data":[1,2,3,4,5])"), "the extents [5]"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8","data":[1,2,3,4,5,6,7])"),
       "more numbers than the shape [2, 1, 3]"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8","data":[[1,2,3],[4,5,6]])"),
       "the extents [2, 3]"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8","data":[1,2,3,4,5,256])"), "no whole pixel"},
      {request(R"("shape":[2,1,3],"datatype":"INT8","data":[1,2,3,4,5,-6])"), "no whole pixel"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8","data":[1,2,3,4,5,6.0])"), "no whole pixel"},
      {request(R"("shape":[2,1,3],"datatype":"FP32","data":[1,2,3,4,5,1e39])"), "beyond the range"},
      {request(good + R"(,"parameters":{"binary_data_size":6})"), "both `data` and"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8","parameters":{"binary_data_size":6})"),
       "Inference-Header-Content-Length is missing"},
      {request(R"("shape":[2,1,3],"datatype":"UINT8","parameters":{"shared_memory_region":"r"})"),
       "neither classification nor shared memory"},
  };
  for (const Hostile& hostile : table)
    EXPECT_THAT(fault_of(400, [&] { read(hostile.body); }), HasSubstr(hostile.words))
        << hostile.body;
}

TEST(InferenceProtocol, TooManyPicturesAreRefusedByTheirShape) {
  EXPECT_THAT(fault_of(413,
                       [] {
                         read(request(
                             R"("shape":[9223372036854775807,2,1,3],"datatype":"FP32","data":[])"));
                       }),
              HasSubstr("more than 4 pictures"));
}

TEST(InferenceProtocol, SizesOfBinaryDataThatLieAreRefused) {
  const auto fault = [](const char* shape, const char* size, std::size_t bytes) {
    std::string body = request(R"("datatype":"FP32","shape":)" + std::string(shape) +
                               R"(,"parameters":{"binary_data_size":)" + size + "}");
    const std::size_t json = body.size();
    body.append(bytes, '\0');
    return fault_of(400, [&] { read(body, json); });
  };
  EXPECT_EQ(fault("[1,2,1,3]", "24", 24), "");
  EXPECT_THAT(fault("[1,2,1,3]", "24", 23), HasSubstr("is 24 and 23 bytes follow"));
  EXPECT_THAT(fault("[1,2,1,3]", "24", 48), HasSubstr("is 24 and 48 bytes follow"));
  EXPECT_THAT(fault("[1,2,1,3]", "-24", 24), HasSubstr("is -24 and 24 bytes follow"));
  EXPECT_THAT(fault("[2,2,1,3]", "24", 24), HasSubstr("do not fit the shape [2, 2, 1, 3]"));
  EXPECT_THAT(fault("[1,2,1,3]", "23", 23), HasSubstr("do not fit the shape"));
  EXPECT_THAT(fault("[1,2,1,3]", "99999999999999999999", 24), HasSubstr("no whole number"));
  const std::string json = request(R"("shape":[2,1,3],"datatype":"UINT8","data":[1,2,3,4,5,6])");
  EXPECT_THAT(fault_of(400, [&] { read(json + "xyz", json.size()); }),
              HasSubstr("3 bytes follow the JSON"));
  EXPECT_THAT(fault_of(400, [&] { read(json, json.size() - 1); }), HasSubstr("the text ends"));
}

TEST(InferenceProtocol, TheHeaderIsDigitsWithinTheBody) {
  EXPECT_EQ(parse_json_bytes("0", 10), 0u);
  EXPECT_EQ(parse_json_bytes("10", 10), 10u);
  for (const char* header :
       {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "ten", "99999999999999999999x"})
    EXPECT_THAT(fault_of(400, [&] { parse_json_bytes(header, 10); }),
                HasSubstr("no count of bytes"))
        << header;
  for (const char* header : {"11", "18446744073709551616", "99999999999999999999999"})
    EXPECT_THAT(fault_of(400, [&] { parse_json_bytes(header, 10); }),
                HasSubstr("more than the 10 bytes"))
        << header;
}

TEST(InferenceProtocol, RepliesInJson) {
  const InferenceReply plain =
      write_inference_reply(kModel, {}, std::vector<float>{0.1f, 1, -2.5f, 1e-7f});
  EXPECT_EQ(plain.body,
            R"({"model_name":"le\"net","model_version":"2","outputs":[{"name":"output",)"
            R"("datatype":"FP32","shape":[2,2],"data":[0.1,1,-2.5,1e-07]}]})");
  EXPECT_EQ(plain.json_bytes, std::nullopt);
  const InferenceReply named =
      write_inference_reply(kModel, {.id = "a\n\"b", .pictures = {}}, std::vector<float>{1, 2});
  EXPECT_THAT(named.body, HasSubstr(R"("id":"a\u000a\"b",)"));
}

TEST(InferenceProtocol, BinaryRepliesFollowTheirJson) {
  const std::vector<float> values = {0.1f, -1.0f / 3};
  const InferenceReply reply =
      write_inference_reply(kModel, {.id = {}, .pictures = {}, .binary_output = true}, values);
  const std::string json =
      R"({"model_name":"le\"net","model_version":"2","outputs":[{"name":"output",)"
      R"("datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]})";
  ASSERT_EQ(reply.json_bytes, json.size());
  EXPECT_EQ(reply.body.substr(0, json.size()), json);
  // numpy.array([.1, -1/3], "<f4").tobytes()
  EXPECT_EQ(reply.body.substr(json.size()), "\xCD\xCC\xCC\x3D\xAB\xAA\xAA\xBE");
}

TEST(InferenceProtocol, FactsAboutServerAndModel) {
  EXPECT_EQ(server_metadata("1.2"),
            R"({"name":"kiln","version":"1.2","extensions":["binary_tensor_data"]})");
  const std::vector<std::string> versions{"1", "12"};
  EXPECT_EQ(
      model_metadata({.name = "m", .version = "12", .shape = kShape, .classes = 10}, versions),
      R"({"name":"m","versions":["1","12"],"platform":"kiln",)"
      R"("inputs":[{"name":"input","datatype":"FP32","shape":[-1,2,1,3]}],)"
      R"("outputs":[{"name":"output","datatype":"FP32","shape":[-1,10]}]})");
  EXPECT_EQ(live_reply(true), R"({"live":true})");
  EXPECT_EQ(ready_reply(false), R"({"ready":false})");
  EXPECT_EQ(model_ready_reply("m", true), R"({"name":"m","ready":true})");
}

}  // namespace
}  // namespace kiln::payload
