#include "engine/pickle/pickle.h"

#include <gtest/gtest.h>

#include "engine/data/formats/cifar_python.h"
#include "engine/data/formats/numpy_calls.h"
#include "tests/data/support.h"

namespace kiln {
namespace {

using formats::CifarPickle;
using formats::NumpyCalls;

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Written by Python: tests/fuzz/corpus/pickle holds the same two pictures in every protocol, and
// once in the form in which Python 2 wrote the official files.
class PickleFormTest : public testing::TestWithParam<const char*> {};

TEST_P(PickleFormTest, ReadsTheSamePictures) {
  const std::string bytes = read_text_file(test::corpus_folder("pickle") / GetParam(), 1 << 20);
  const CifarPickle batch("batch", bytes_of(bytes));
  ASSERT_EQ(batch.size(), 2);
  std::vector<std::int32_t> labels(2);
  std::vector<std::uint8_t> images(2 * 3072);
  batch.decode(10, labels, images.data());
  EXPECT_EQ(labels, (std::vector<std::int32_t>{0, 1}));
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t at = 0; at < 1024; ++at)
      for (std::size_t c = 0; c < 3; ++c)
        ASSERT_EQ(images[i * 3072 + at * 3 + c], ((i * 3072 + c * 1024 + at) * 7) % 251);
}

INSTANTIATE_TEST_SUITE_P(Protocols, PickleFormTest,
                         testing::Values("python2", "numpy_protocol0", "numpy_protocol1",
                                         "numpy_protocol2", "numpy_protocol3", "numpy_protocol4",
                                         "numpy_protocol5"));

TEST(Pickle, ReadsLabelNames) {
  for (const char* name : {"meta_protocol0", "meta_protocol2", "meta_protocol4"}) {
    const std::string bytes = read_text_file(test::corpus_folder("pickle") / name, 1 << 20);
    EXPECT_EQ(formats::cifar_label_names("meta", bytes_of(bytes)),
              (std::vector<std::string>{"airplane", "automobile", "bird"}));
  }
}

void expect_refused(std::string_view pickle, std::initializer_list<const char*> parts) {
  test::expect_error([&] { Pickle("file", bytes_of(pickle), NumpyCalls()); }, parts);
}

TEST(Pickle, RefusesEveryCallByName) {
  expect_refused("cos\nsystem\n(S'echo pwned'\ntR.", {"file", "\"os.system\""});
  expect_refused(
      "\x80\x04\x8c\x08"
      "builtins\x8c\x04"
      "eval\x93\x8c\x05"
      "1 + 1\x85R.",
      {"\"builtins.eval\""});
  expect_refused("cnumpy\nload\n.", {"\"numpy.load\""});
  expect_refused("cos\x1b[2J\nsystem\n.", {"os\\x1b[2J.system"});
}

TEST(Pickle, RefusesOtherInstructions) {
  expect_refused("(ios\nsystem\n.", {"0x69 ('i')"});
  expect_refused("Pid\n.", {"0x50 ('P')"});
  expect_refused("\x82\x01.", {"0x82"});
  expect_refused(std::string_view(")\x81.", 3), {"0x81"});
}

TEST(Pickle, RefusesDamage) {
  expect_refused("", {"end comes too early"});
  expect_refused("]", {"end comes too early"});
  expect_refused(
      "T\xff\xff\xff\x7f"
      "abc",
      {"end comes too early"});
  expect_refused(".", {"empty stack"});
  expect_refused("NN.", {"left on the stack"});
  expect_refused("t.", {"missing mark"});
  expect_refused("(0.", {"empty stack"});
  expect_refused("h\x05.", {"never made"});
  expect_refused("Ixyz\n.", {"bad number"});
  expect_refused("NNs.", {"empty stack"});
  expect_refused(
      "K\x01K\x01"
      "a.",
      {"holds none"});
  expect_refused(
      "U\x01"
      "aU\x01"
      "b\x85R.",
      {"non-function"});
  expect_refused(std::string(5000, '('), {"too deep"});
}

TEST(Pickle, BoundsTheNumberOfValues) {
  std::string bomb(Pickle::kMaxValues + 10, 'N');
  expect_refused(bomb, {"too many values"});
}

TEST(Pickle, ReadsNumbersOfAllForms) {
  std::string pickle = "(I-5\nL70000L\nK\x07M\x01\x02J\xfe\xff\xff\xff\x8a\x02";
  pickle += std::string("\x00\x80", 2) + "I01\nt.";
  const Pickle parsed("file", bytes_of(pickle), NumpyCalls());
  std::vector<std::int64_t> values;
  for (const auto id : parsed.root().items) values.push_back(parsed.at(id).integer);
  EXPECT_EQ(values, (std::vector<std::int64_t>{-5, 70000, 7, 513, -2, -32768, 1}));
}

TEST(CifarPickle, RefusesArraysThatLie) {
  const auto refuse = [](const char* name, std::initializer_list<const char*> parts) {
    const std::string bytes = read_text_file(test::corpus_folder("pickle") / name, 1 << 20);
    test::expect_error([&] { CifarPickle("batch", bytes_of(bytes)); }, parts);
  };
  refuse("array_lie", {"batch", "array"});
  refuse("self_list", {"no array \"data\""});
  refuse("meta_protocol2", {"no array \"data\""});
}

}  // namespace
}  // namespace kiln
