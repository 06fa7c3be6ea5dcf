#include "models/file_digest.h"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

using testing::HasSubstr;

class FileDigestTest : public TempFolderTest {
 protected:
  void write(const std::string& name, std::string_view text) const {
    std::ofstream(folder() / name, std::ios::binary) << text;
  }
};

// Examples of FIPS 180-4: the digests of nothing, "abc", and a million times "a".
TEST_F(FileDigestTest, IsTheSha256ThatTheStandardGives) {
  write("empty", "");
  write("abc", "abc");
  write("million", std::string(1'000'000, 'a'));
  EXPECT_EQ(digest_file(folder(), "empty").sha256,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest_file(folder(), "abc").sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const FileDigest million = digest_file(folder(), "million");
  EXPECT_EQ(million.sha256, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(million.bytes, 1'000'000u);
}

TEST_F(FileDigestTest, AnyChangeIsSeen) {
  write("weights", "abcd");
  write("other", "xyz");
  const std::vector<FileDigest> files = {digest_file(folder(), "weights"),
                                         digest_file(folder(), "other")};
  EXPECT_NO_THROW(verify_files(folder(), files));
  for (const char* changed : {"abce", "abc", "abcde", ""}) {
    write("weights", changed);
    try {
      verify_files(folder(), files);
      FAIL() << "taken: " << changed;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("weights: is not the file that model.json was written"));
    }
  }
  write("weights", "abcd");
  EXPECT_NO_THROW(verify_files(folder(), files));
  std::filesystem::remove(folder() / "other");
  EXPECT_THROW(verify_files(folder(), files), Error);
  EXPECT_THROW(digest_file(folder(), "other"), Error);
}

TEST(FileDigest, KnowsADigestFromOtherText) {
  EXPECT_TRUE(is_sha256("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
  for (const char* text :
       {"", "e3b0", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"})
    EXPECT_FALSE(is_sha256(text)) << text;
}

TEST(FileDigest, ChecksumOfContentsTellsEveryChangeAndNoOrder) {
  const float values[] = {1.0f, 2.0f};
  const auto bytes = std::as_bytes(std::span(values));
  const SafetensorsEntry a{"a", DType::f32, {2}, bytes}, b{"b", DType::i32, {2, 1}, bytes};
  const SafetensorsEntry both[] = {a, b}, turned[] = {b, a};
  const std::string sum = checksum_of(both, {{"k", "v"}});
  EXPECT_THAT(sum, testing::MatchesRegex("[0-9a-f]{8}"));
  EXPECT_EQ(checksum_of(turned, {{"k", "v"}, {"crc32", sum}}), sum);
  SafetensorsEntry other[] = {a, b};
  const auto differs = [&](const SafetensorsEntry& changed) {
    other[1] = changed;
    return checksum_of(other, {{"k", "v"}}) != sum;
  };
  EXPECT_TRUE(differs({"c", DType::i32, {2, 1}, bytes}));
  EXPECT_TRUE(differs({"b", DType::f32, {2, 1}, bytes}));
  EXPECT_TRUE(differs({"b", DType::i32, {1, 2}, bytes}));
  EXPECT_TRUE(differs({"b", DType::i32, {1, 1}, bytes.first(4)}));
  EXPECT_NE(checksum_of(both, {{"kv", ""}}), sum);
  EXPECT_NE(checksum_of(both, {}), sum);
}

}  // namespace
}  // namespace kiln
