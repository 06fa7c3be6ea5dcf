#include "engine/report/tensorboard.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "engine/core/error.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// A protocol buffer message as its fields, decoded apart from the writer's code.
struct Field {
  int number = 0;
  std::uint64_t whole = 0;  // varint, or the bits of a fixed value
  std::string text;
};

std::uint64_t take_varint(std::string_view& in) {
  std::uint64_t value = 0;
  for (int shift = 0; !in.empty() && shift < 64; shift += 7) {
    const auto byte = static_cast<std::uint8_t>(in.front());
    in.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  ADD_FAILURE() << "a varint has no end";
  return 0;
}

std::multimap<int, Field> decode(std::string_view in) {
  std::multimap<int, Field> fields;
  while (!in.empty()) {
    const std::uint64_t tag = take_varint(in);
    Field field{.number = static_cast<int>(tag >> 3), .text = {}};
    std::size_t length = 0;
    if ((tag & 7) == 0) field.whole = take_varint(in);
    if ((tag & 7) == 1) length = 8;
    if ((tag & 7) == 2) length = take_varint(in);
    if ((tag & 7) == 5) length = 4;
    if (length > in.size()) {
      ADD_FAILURE() << "field " << field.number << " is longer than its message";
      return fields;
    }
    field.text = in.substr(0, length);
    in.remove_prefix(length);
    fields.emplace(field.number, field);
  }
  return fields;
}

template <class T>
T value_of(const Field& field) {
  T value{};
  EXPECT_EQ(field.text.size(), sizeof value);
  std::memcpy(&value, field.text.data(), std::min(sizeof value, field.text.size()));
  return value;
}

// The payloads of a file, every checksum compared.
std::vector<std::string> records(std::string_view file) {
  std::vector<std::string> out;
  while (!file.empty()) {
    if (file.size() < 16) {
      ADD_FAILURE() << "torn record";
      return out;
    }
    std::uint64_t length = 0;
    std::uint32_t length_crc = 0, crc = 0;
    std::memcpy(&length, file.data(), 8);
    std::memcpy(&length_crc, file.data() + 8, 4);
    EXPECT_EQ(length_crc, masked_crc32c(bytes_of(file.substr(0, 8))));
    out.emplace_back(file.substr(12, length));
    std::memcpy(&crc, file.data() + 12 + length, 4);
    EXPECT_EQ(crc, masked_crc32c(bytes_of(out.back())));
    file.remove_prefix(16 + length);
  }
  return out;
}

class TensorBoardTest : public TempFolderTest {
 protected:
  static std::vector<std::string> events(const TensorBoardWriter& writer) {
    return records(read_text_file(writer.path(), 1 << 20));
  }
};

// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
TEST(Crc32c, KnownVectors) {
  std::string rising;
  for (int i = 0; i < 32; ++i) rising += static_cast<char>(i);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8A9136AAu);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xff'))), 0x62A8AB43u);
  EXPECT_EQ(crc32c(bytes_of(rising)), 0x46DD794Eu);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

// The first record of every event file of wall time 0, as TensorFlow writes it.
TEST(TfRecord, FrameIsGolden) {
  const std::string frame = tfrecord("abc");
  ASSERT_EQ(frame.size(), 8 + 4 + 3 + 4u);
  EXPECT_EQ(frame.substr(0, 8), std::string("\x03\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(frame.substr(12, 3), "abc");
  const std::uint32_t crc = crc32c(bytes_of("abc"));
  EXPECT_EQ(crc, 0x364B3FB7u);  // the Castagnoli CRC of "abc"
  const std::uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
  EXPECT_EQ(frame.substr(15), std::string(reinterpret_cast<const char*>(&masked), 4));
}

TEST_F(TensorBoardTest, NamesTheFileAsTensorBoardExpects) {
  const TensorBoardWriter first(folder() / "new" / "folder");
  const TensorBoardWriter second(folder() / "new" / "folder");
  EXPECT_THAT(first.path().filename().string(),
              testing::MatchesRegex("events\\.out\\.tfevents\\.[0-9]+\\..+\\.kiln"));
  EXPECT_NE(first.path(), second.path());
}

TEST_F(TensorBoardTest, StartsWithTheVersionAndHoldsScalars) {
  TensorBoardWriter writer(folder());
  writer.scalar("loss/train", 300, 1.25);
  const auto all = events(writer);
  ASSERT_EQ(all.size(), 2u);
  const auto version = decode(all[0]);
  EXPECT_EQ(version.find(3)->second.text, "brain.Event:2");
  EXPECT_GT(value_of<double>(version.find(1)->second), 1.6e9);

  const auto event = decode(all[1]);
  EXPECT_EQ(event.find(2)->second.whole, 300u);
  const auto summary = decode(event.find(5)->second.text);
  const auto value = decode(summary.find(1)->second.text);
  EXPECT_EQ(value.find(1)->second.text, "loss/train");
  EXPECT_EQ(value_of<float>(value.find(2)->second), 1.25f);
}

TEST_F(TensorBoardTest, HoldsPictures) {
  const Picture picture{2, 1, 3, {1, 2, 3, 4, 5, 6}};
  TensorBoardWriter writer(folder());
  writer.picture("filters", 7, picture);
  const auto value =
      decode(decode(decode(events(writer)[1]).find(5)->second.text).find(1)->second.text);
  const auto image = decode(value.find(4)->second.text);
  EXPECT_EQ(image.find(1)->second.whole, 2u);
  EXPECT_EQ(image.find(2)->second.whole, 1u);
  EXPECT_EQ(image.find(3)->second.whole, 3u);
  EXPECT_EQ(image.find(4)->second.text, encode_png(picture));
}

TEST_F(TensorBoardTest, AnEpochIsSixCurvesAndNanStaysNan) {
  TensorBoardWriter writer(folder());
  EpochMetrics epoch;
  epoch.test_loss = std::nan("");
  writer.write(epoch, 12);
  writer.write(StepMetrics{.step = 13, .loss = 0.5});
  const auto all = events(writer);
  ASSERT_EQ(all.size(), 1 + 6 + 1u);
  const auto test_loss = decode(decode(decode(all[2]).find(5)->second.text).find(1)->second.text);
  EXPECT_EQ(test_loss.find(1)->second.text, "loss/test");
  EXPECT_TRUE(std::isnan(value_of<float>(test_loss.find(2)->second)));
}

TEST_F(TensorBoardTest, AResumedRunForgetsWhatCameAfterTheCheckpoint) {
  const TensorBoardWriter writer(folder(), ResumePoint{.epoch = 2, .step = 200});
  const auto all = events(writer);
  ASSERT_EQ(all.size(), 2u);
  const auto event = decode(all[1]);
  EXPECT_EQ(event.find(2)->second.whole, 201u);
  EXPECT_EQ(decode(event.find(7)->second.text).find(1)->second.whole, 1u);  // SessionLog.START
}

TEST_F(TensorBoardTest, TensorBoardItselfReadsTheFile) {
  const char* python = std::getenv("KILN_PEER_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "KILN_PEER_PYTHON names no Python with tensorboard";
  const std::string probe = std::string(python) + " -c 'import tensorboard' >/dev/null 2>&1";
  if (std::system(probe.c_str()) != 0) GTEST_SKIP() << python << " has no tensorboard";
  {
    TensorBoardWriter first(folder());
    for (const int step : {100, 200, 300})
      first.write(StepMetrics{.step = step, .loss = 3.0 / step});
    first.picture("filters", 100, {1, 1, 1, {7}});
    first.picture("filters", 300, {2, 1, 3, {1, 2, 3, 4, 5, 6}});
  }
  TensorBoardWriter resumed(folder(), ResumePoint{.epoch = 0, .step = 200});
  resumed.write(StepMetrics{.step = 300, .loss = 0.5});
  const std::string command = std::string(python) + " " + std::getenv("KILN_SOURCE_DIR") +
                              "/tests/report/tensorboard_peer.py " + folder().string();
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace kiln
