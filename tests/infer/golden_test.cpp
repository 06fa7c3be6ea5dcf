#include "engine/infer/golden.h"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

#include "engine/core/error.h"
#include "tests/infer/model_folder.h"
#include "tests/support/temp_folder.h"

namespace kiln::infer {
namespace {

using testing::HasSubstr;

class GoldenTest : public TempFolderTest {
 protected:
  void SetUp() override {
    TempFolderTest::SetUp();
    test::write_model(folder(), lenet(), 3);
    RandomSequence numbers(1, RandomStream::synthesise, 0);
    for (std::uint8_t& byte : pictures_) byte = static_cast<std::uint8_t>(numbers.next_below(256));
  }
  Path path() const { return folder() / kGoldenFile; }
  std::string fault(const Golden& golden) {
    try {
      check_golden(session(), golden, path());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  Session& session() {
    if (!session_) session_.emplace(Model::load(folder()), SessionOptions{.max_batch = 2}, log_);
    return *session_;
  }

  std::vector<std::uint8_t> pictures_ = std::vector<std::uint8_t>(std::size_t{3} * 32 * 32 * 3);

 private:
  Log log_{stderr, LogLevel::quiet};
  std::optional<Session> session_;
};

TEST_F(GoldenTest, IsReadAsItWasWrittenAndReproduced) {
  const Golden golden = make_golden(session(), pictures_);
  EXPECT_EQ(golden.outputs.size(), 30u);
  write_golden(path(), lenet(), golden);
  const Golden back = read_golden(path(), lenet());
  EXPECT_EQ(back.pictures, golden.pictures);
  EXPECT_EQ(back.outputs, golden.outputs);
  EXPECT_EQ(fault(back), "");
}

TEST_F(GoldenTest, AnotherNumberIsNamedAndRoundingIsNot) {
  Golden golden = make_golden(session(), pictures_);
  for (float& value : golden.outputs) value *= 1.0001f;
  EXPECT_EQ(fault(golden), "");
  golden.outputs[17] += 0.1f;
  EXPECT_THAT(fault(golden), HasSubstr("is not reproduced: output 7 of picture 1 is "));
  golden.outputs[17] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(fault(golden), HasSubstr("output 7 of picture 1"));
}

TEST_F(GoldenTest, AWeightThatChangedIsSeen) {
  const Golden golden = make_golden(session(), pictures_);
  auto tensors = test::drawn_tensors(lenet(), 3);
  for (auto& tensor : tensors)
    if (tensor.name == "conv1.weight") tensor.values[0] += 0.5f;
  test::write_tensors(folder(), tensors);
  Log log(stderr, LogLevel::quiet);
  Session changed(Model::load(folder()), {.max_batch = 1}, log);
  EXPECT_THROW(check_golden(changed, golden, path()), Error);
}

TEST_F(GoldenTest, ASampleOfAnotherNetworkIsRefused) {
  write_golden(path(), lenet(), make_golden(session(), pictures_));
  EXPECT_THROW(read_golden(path(), mnist()), Error);
  std::ofstream(path()) << "nothing";
  EXPECT_THROW(read_golden(path(), lenet()), Error);
  const std::vector<float> numbers(10);
  const SafetensorsEntry flat{"outputs", DType::f32, {10}, std::as_bytes(std::span(numbers))};
  write_safetensors(path(), std::span(&flat, 1));
  EXPECT_THROW(read_golden(path(), lenet()), Error);
}

}  // namespace
}  // namespace kiln::infer
