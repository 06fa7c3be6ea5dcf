#include "engine/data/formats/cifar_binary.h"

#include <gtest/gtest.h>

#include "tests/data/support.h"

namespace kiln {
namespace {

// Record i of a file: label i % 10, and the byte at [c][y][x] a function of all five.
std::string records(int first, int count) {
  std::string bytes;
  for (int i = first; i < first + count; ++i) {
    bytes += static_cast<char>(i % 10);
    for (int at = 0; at < 3072; ++at) bytes += static_cast<char>((i * 31 + at * 7) & 0xFF);
  }
  return bytes;
}

class CifarBinaryTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 5; ++i)
      write_file_atomic(folder() / ("data_batch_" + std::to_string(i + 1) + ".bin"),
                        records(i * 70, 70));
    write_file_atomic(folder() / "test_batch.bin", records(1000, 33));
  }
  const Path& folder() const { return folder_.path(); }
  Dataset load(Split split) { return load_dataset(folder(), split, log_.log(), pool_); }

  test::TempFolder folder_;
  test::MemoryLog log_;
  ThreadPool pool_{2};
};

TEST_F(CifarBinaryTest, ReadsLabelsPicturesAndNames) {
  const Dataset train = load(Split::train);
  ASSERT_EQ(train.size(), 350);
  EXPECT_EQ(train.info().name, "CIFAR-10");
  EXPECT_EQ(train.info().class_names[9], "truck");
  EXPECT_FALSE(train.info().synthetic);
  for (const int i : {0, 69, 70, 349})
    for (const int at : {0, 1, 33, 1023})
      for (int c = 0; c < 3; ++c)
        EXPECT_EQ(train.image(i)[static_cast<std::size_t>(at * 3 + c)],
                  (i * 31 + (c * 1024 + at) * 7) & 0xFF);
  EXPECT_EQ(train.label(123), 3);
  EXPECT_EQ(load(Split::test).size(), 33);
  EXPECT_NE(log_.text().find("350 training pictures of 32x32x3 in 10 classes (CIFAR-10 binary"),
            std::string::npos)
      << log_.text();
}

TEST_F(CifarBinaryTest, ReadsTrainingAndTestPicturesFromAFolderEach) {
  test::TempFolder outer;
  EXPECT_EQ(find_layout(outer.path()), std::nullopt);
  std::filesystem::copy(folder(), outer.path() / "training");
  make_directories(outer.path() / "testing");
  write_file_atomic(outer.path() / "testing/test_batch.bin", records(0, 44));
  EXPECT_EQ(find_layout(outer.path()), DataLayout::cifar_binary);
  const DatasetPair pair = load_dataset_pair(outer.path(), log_.log(), pool_);
  EXPECT_EQ(pair.train.size(), 350);
  EXPECT_EQ(pair.test.size(), 44) << "of the folder of that name, not the 33 beside the others";
  write_file_atomic(outer.path() / "testing/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  test::expect_error([&] { load_dataset_pair(outer.path(), log_.log(), pool_); },
                     {"testing: names other classes", "give both the same list"});
}

TEST_F(CifarBinaryTest, ReadsTheSubfolderAndKeepsOtherNames) {
  write_file_atomic(folder() / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  write_file_atomic(folder() / kSyntheticMarker, "drawn\n");
  test::TempFolder outer;
  std::filesystem::copy(folder(), outer.path() / "cifar-10-batches-bin");
  const Dataset test = load_dataset(outer.path(), Split::test, log_.log(), pool_);
  EXPECT_EQ(test.info().class_names[2], "c");
  EXPECT_TRUE(test.info().synthetic);
  EXPECT_NE(test.info().origin.find("synthetic"), std::string::npos);
}

TEST_F(CifarBinaryTest, RefusesDamagedFiles) {
  const Path path = folder() / "data_batch_3.bin";
  const auto expect = [&](const std::string& bytes, std::initializer_list<const char*> parts) {
    write_file_atomic(path, bytes);
    test::expect_error([&] { load(Split::train); }, parts);
  };
  expect("", {"data_batch_3.bin", "empty"});
  expect(records(0, 3).substr(0, 9000), {"data_batch_3.bin", "cut short"});
  std::string wrong = records(0, 70);
  wrong[3073 * 66] = 10;
  expect(wrong, {"data_batch_3.bin", "record 66", "label 10"});
  std::filesystem::remove(path);
  test::expect_error([&] { load(Split::train); }, {"data_batch_3.bin", "missing"});
  EXPECT_EQ(load(Split::test).size(), 33);
}

TEST_F(CifarBinaryTest, RefusesLabelsPastTheNames) {
  write_file_atomic(folder() / "batches.meta.txt", "cat\ndog\n");
  test::expect_error([&] { load(Split::train); }, {"label 2 of 2 classes"});
  write_file_atomic(folder() / "batches.meta.txt", "cat\ncat\n");
  test::expect_error([&] { load(Split::train); }, {"batches.meta.txt", "twice"});
  write_file_atomic(folder() / "batches.meta.txt", "ca\x1b[1mt\n");
  test::expect_error([&] { load(Split::train); }, {"not plain text", "\\x1b"});
}

TEST_F(CifarBinaryTest, NamesWhatIsNoDataset) {
  test::TempFolder empty;
  const auto load_from = [&](const Path& path) {
    return [this, path] { load_dataset(path, Split::train, log_.log(), pool_); };
  };
  test::expect_error(load_from(empty.path()), {"no data set"});
  test::expect_error(load_from(empty.path() / "absent"), {"absent", "not there"});
}

}  // namespace
}  // namespace kiln
