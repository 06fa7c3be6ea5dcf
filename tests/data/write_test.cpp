#include "engine/data/write.h"

#include <gtest/gtest.h>

#include "engine/data/md5.h"
#include "engine/data/output_folder.h"
#include "engine/data/verify.h"
#include "tests/data/support.h"

namespace kiln {
namespace {

int entry_count(const Path& folder) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

DatasetPair random_pair(std::int64_t side, std::int64_t channels) {
  return {test::random_dataset(57, side, side, channels, 10, 1),
          test::random_dataset(13, side, side, channels, 10, 2)};
}

class WriteTest : public testing::Test {
 protected:
  DatasetPair round_trip(const DatasetPair& data, DatasetFormat format) {
    write_dataset(target(), format, data, pool_);
    return load_dataset_pair(target(), log_.log(), pool_);
  }
  Path target() const { return folder_.path() / "out"; }

  test::TempFolder folder_;
  test::MemoryLog log_;
  ThreadPool pool_{2};
};

TEST_F(WriteTest, CifarBinaryComesBack) {
  const DatasetPair data = random_pair(32, 3);
  const DatasetPair back = round_trip(data, DatasetFormat::cifar10_binary);
  test::expect_equal(back.train, data.train);
  test::expect_equal(back.test, data.test);
}

TEST_F(WriteTest, IdxComesBackGreyAndColour) {
  for (const std::int64_t channels : {1, 3}) {
    const DatasetPair data = random_pair(9, channels);
    const DatasetPair back = round_trip(data, DatasetFormat::idx);
    test::expect_equal(back.train, data.train);
    test::expect_equal(back.test, data.test);
    std::filesystem::remove_all(target());
  }
}

TEST_F(WriteTest, FolderComesBackByClassWithItsNames) {
  DatasetPair data = random_pair(9, 3);
  const DatasetPair back = round_trip(data, DatasetFormat::folder);
  EXPECT_EQ(back.train.info().class_names, data.train.info().class_names);
  ASSERT_EQ(back.train.size(), data.train.size());
  // The reader sorts by class; within a class the order is kept.
  std::int64_t at = 0;
  for (std::int32_t label = 0; label < 10; ++label)
    for (std::int64_t i = label; i < data.train.size(); i += 10, ++at) {
      EXPECT_EQ(back.train.label(at), label);
      EXPECT_TRUE(std::equal(data.train.image(i).begin(), data.train.image(i).end(),
                             back.train.image(at).begin()));
    }
}

TEST_F(WriteTest, KeepsTheOrderOfNamesThatAreNotSorted) {
  const SynthOptions options{.train_count = 30, .test_count = 20};
  const DatasetPair data{draw_synthetic(options, Split::train, pool_),
                         draw_synthetic(options, Split::test, pool_)};
  const DatasetPair back = round_trip(data, DatasetFormat::folder);
  EXPECT_EQ(back.train.info().class_names, data.train.info().class_names);
  EXPECT_TRUE(back.train.info().synthetic);
  EXPECT_EQ(back.test.info().name, "synthetic stand-in");
}

TEST_F(WriteTest, RefusesWhatAFormatCannotHold) {
  test::expect_error(
      [&] { write_dataset(target(), DatasetFormat::cifar10_binary, random_pair(9, 3), pool_); },
      {"cifar10-binary", "9x9x3", "--size 32"});
  const DatasetPair many{test::random_dataset(300, 4, 4, 1, 300),
                         test::random_dataset(30, 4, 4, 1, 300)};
  test::expect_error([&] { write_dataset(target(), DatasetFormat::idx, many, pool_); },
                     {"at most 256 classes"});
  EXPECT_EQ(entry_count(folder_.path()), 0);
}

TEST_F(WriteTest, NeverTouchesWhatIsThereAndLeavesNothingBehind) {
  make_directories(target());
  write_file_atomic(target() / "mine", "x");
  test::expect_error([&] { write_dataset(target(), DatasetFormat::idx, random_pair(9, 1), pool_); },
                     {"exists already"});
  EXPECT_EQ(entry_count(target()), 1);
  std::filesystem::remove(target() / "mine");
  const auto broken = [&] {
    write_dataset(
        target(), DatasetFormat::folder, random_pair(9, 1), pool_, {},
        [](std::int64_t, std::int64_t) { throw Error(ErrorKind::io, "disk", "is full"); });
  };
  test::expect_error(broken, {"disk"});
  EXPECT_EQ(entry_count(target()), 0);
  EXPECT_EQ(entry_count(folder_.path()), 1);
  EXPECT_NO_THROW(write_dataset(target(), DatasetFormat::idx, random_pair(9, 1), pool_));
}

TEST(OutputFolder, TakesTheNameOfAPathWithASlash) {
  test::TempFolder folder;
  OutputFolder output(Path(folder.path().string() + "/new/"));
  output.write("a.txt", std::string_view("text"));
  output.commit();
  EXPECT_EQ(read_text_file(folder.path() / "new/a.txt", 100), "text");
}

TEST(OutputFolder, RemovesWhatTheDeadLeftAndNothingElse) {
  test::TempFolder folder;
  const OutputFolder alive(folder.path() / "new");
  for (const char* name : {".new.kiln-Dead01", ".new.kiln-Dead01/deep", ".new.kiln-other-name",
                           ".older.kiln-Dead02", ".new.mine"})
    make_directories(folder.path() / name);
  write_file_atomic(folder.path() / ".new.kiln-Dead01/deep/file", std::string_view("half"));
  write_file_atomic(folder.path() / ".new.kiln-aFile0", std::string_view("no folder"));
  const OutputFolder next(folder.path() / "new");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / ".new.kiln-Dead01"));
  EXPECT_TRUE(std::filesystem::exists(alive.path()));
  EXPECT_TRUE(std::filesystem::exists(next.path()));
  for (const char* name :
       {".new.kiln-other-name", ".older.kiln-Dead02", ".new.mine", ".new.kiln-aFile0"})
    EXPECT_TRUE(std::filesystem::exists(folder.path() / name)) << name;
}

TEST(Synth, DependsOnSeedSplitAndIndexAlone) {
  ThreadPool one(1), three(3);
  const SynthOptions options{.seed = 4, .train_count = 120, .test_count = 50};
  const Dataset a = draw_synthetic(options, Split::train, one);
  test::expect_equal(draw_synthetic(options, Split::train, three), a);
  const SynthOptions longer{.seed = 4, .train_count = 200, .test_count = 50};
  const Dataset b = draw_synthetic(longer, Split::train, one);
  EXPECT_TRUE(std::equal(a.images().begin(), a.images().end(), b.images().begin()));
  const Dataset test = draw_synthetic(options, Split::test, one);
  EXPECT_FALSE(std::equal(test.images().begin(), test.images().end(), a.images().begin()));
  const Dataset other =
      draw_synthetic({.seed = 5, .train_count = 120, .test_count = 50}, Split::train, one);
  EXPECT_FALSE(std::equal(a.images().begin(), a.images().end(), other.images().begin()));
}

TEST(Synth, MixesItsClassesEquallyAndSaysWhatItIs) {
  ThreadPool pool(2);
  const Dataset set = draw_synthetic({.train_count = 1000}, Split::train, pool);
  EXPECT_EQ(class_counts(set), std::vector<std::int64_t>(10, 100));
  EXPECT_NE(set.label(0), set.label(1));
  EXPECT_NE(set.label(0), set.label(10));
  EXPECT_TRUE(set.info().synthetic);
  EXPECT_NE(set.info().origin.find("synthetic"), std::string::npos);
  test::expect_error([&] { draw_synthetic({.train_count = 3}, Split::train, pool); }, {"count 3"});
}

TEST(Md5, MatchesTheTestSuiteOfRfc1321) {
  const auto sum = [](std::string_view text) {
    Md5 md5;
    // In two parts, so that pending bytes are tried too.
    const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(text.data()),
                                              text.size());
    md5.update(bytes.first(text.size() / 3));
    md5.update(bytes.subspan(text.size() / 3));
    return md5.finish();
  };
  EXPECT_EQ(sum(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(sum("abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(sum("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(sum("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
            "57edf4a22be3c955ac49da2e2107b67a");
}

class VerifyTest : public WriteTest {
 protected:
  void SetUp() override {
    write_dataset(target(), DatasetFormat::cifar10_binary, random_pair(32, 3), pool_);
  }
  std::vector<std::string> verify() { return verify_dataset(target(), log_.log(), pool_); }
};

TEST_F(VerifyTest, FindsASoundSetSound) { EXPECT_TRUE(verify().empty()); }

TEST_F(VerifyTest, FindsACopiedFile) {
  std::filesystem::copy_file(target() / "data_batch_1.bin", target() / "data_batch_4.bin",
                             std::filesystem::copy_options::overwrite_existing);
  test::expect_error([&] { verify(); }, {"data_batch_4.bin", "copy of data_batch_1.bin"});
}

TEST_F(VerifyTest, FindsEmptyAndMissingFiles) {
  write_file_atomic(target() / "test_batch.bin", "");
  test::expect_error([&] { verify(); }, {"test_batch.bin", "empty"});
  std::filesystem::remove(target() / "test_batch.bin");
  test::expect_error([&] { verify(); }, {"test_batch.bin", "missing"});
}

TEST_F(VerifyTest, NotesEqualPicturesAndForeignFiles) {
  std::string batch = read_text_file(target() / "data_batch_2.bin", 1 << 20);
  batch.replace(3073, 3073, batch.substr(0, 3073));
  write_file_atomic(target() / "data_batch_2.bin", batch);
  const auto lines = verify();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("1 pictures are equal"), std::string::npos) << lines[0];
}

TEST(ContactSheet, ShowsARowForEachClass) {
  const Dataset set = test::random_dataset(40, 6, 5, 3, 4);
  const Image sheet = contact_sheet(set, 3);
  EXPECT_EQ(sheet.width, 3 * 6 + 1);
  EXPECT_EQ(sheet.height, 4 * 7 + 1);
  // Class 2, second picture: sample 6, at row 2 * 7 + 1 and column 6 + 1.
  const auto at = static_cast<std::size_t>(((2 * 7 + 1) * sheet.width + 7) * 3);
  EXPECT_TRUE(std::equal(set.image(6).begin(), set.image(6).begin() + 15,
                         sheet.bytes.begin() + static_cast<std::ptrdiff_t>(at)));
  EXPECT_EQ(sheet.bytes[0], 128);
}

}  // namespace
}  // namespace kiln
