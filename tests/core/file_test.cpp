#include "engine/core/file.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "engine/core/error.h"

namespace kiln {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "kiln-file-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  int entry_count() const {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++count;
    return count;
  }
  Path folder_;
};

TEST_F(FileTest, WritesWholeFilesAndReplacesThem) {
  const Path path = folder_ / "a.txt";
  write_file_atomic(path, "one");
  write_file_atomic(path, "two");
  EXPECT_EQ(read_text_file(path, 100), "two");
  EXPECT_EQ(entry_count(), 1);
}

TEST_F(FileTest, WritesPiecesOneBehindTheOther) {
  const std::string text = "onetwo";
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  const std::span<const std::byte> pieces[] = {bytes.first(3), {}, bytes.subspan(3)};
  write_file_atomic(folder_ / "a", std::span<const std::span<const std::byte>>(pieces));
  EXPECT_EQ(read_text_file(folder_ / "a", 100), text);
}

TEST_F(FileTest, AFailedWriteLeavesTheOldFileAndNoTemporary) {
  const Path path = folder_ / "folder";
  std::filesystem::create_directory(path);  // rename over a folder fails
  EXPECT_THROW(write_file_atomic(path, "text"), Error);
  EXPECT_EQ(entry_count(), 1);
}

TEST_F(FileTest, APipeIsNotReplacedByAFile) {
  const Path pipe = folder_ / "pipe", link = folder_ / "link";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::filesystem::create_symlink(pipe, link);
  for (const Path& path : {pipe, link}) {
    EXPECT_THROW(write_file_atomic(path, "text"), Error);
    EXPECT_THROW(check_writable(path), Error);
  }
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(entry_count(), 2);
}

TEST_F(FileTest, WhetherAFileCanBeWrittenIsToldBeforehand) {
  write_file_atomic(folder_ / "there", "old");
  EXPECT_NO_THROW(check_writable(folder_ / "there"));
  EXPECT_NO_THROW(check_writable(folder_ / "new"));
  EXPECT_EQ(read_text_file(folder_ / "there", 100), "old");
  EXPECT_EQ(entry_count(), 1);
  EXPECT_THROW(check_writable(folder_), Error);
  EXPECT_THROW(check_writable(folder_ / "absent" / "new"), Error);
}

TEST_F(FileTest, ErrorsNameTheFile) {
  try {
    read_text_file(folder_ / "absent", 100);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("absent"), std::string::npos);
    EXPECT_EQ(error.exit_code(), 1);
  }
}

TEST_F(FileTest, RefusesFilesOverTheLimitAndFolders) {
  write_file_atomic(folder_ / "big", "0123456789");
  EXPECT_THROW(read_file(folder_ / "big", 9), Error);
  EXPECT_THROW(read_file(folder_, 9), Error);
}

TEST_F(FileTest, MapsEmptyAndFullFiles) {
  write_file_atomic(folder_ / "empty", "");
  write_file_atomic(folder_ / "full", "abc");
  EXPECT_TRUE(MappedFile(folder_ / "empty").bytes().empty());
  EXPECT_EQ(MappedFile(folder_ / "full").bytes().size(), 3u);
}

TEST(Printable, EscapesControlBytes) { EXPECT_EQ(printable("a\x1b[0m"), "a\\x1b[0m"); }

}  // namespace
}  // namespace kiln
