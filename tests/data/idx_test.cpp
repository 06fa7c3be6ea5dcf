#include "engine/data/formats/idx.h"

#include <gtest/gtest.h>

#include "tests/data/support.h"

namespace kiln {
namespace {

std::string idx_bytes(const std::vector<std::uint32_t>& extents, const std::string& content) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (const std::uint32_t extent : extents)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(extent >> shift);
  return bytes + content;
}

class IdxTest : public testing::Test {
 protected:
  void write_split(const Path& folder, const std::string& stem, int count) {
    make_directories(folder);
    std::string pixels, labels;
    for (int i = 0; i < count; ++i) {
      labels += static_cast<char>(i % 10);
      for (int at = 0; at < 12; ++at) pixels += static_cast<char>(i * 12 + at);
    }
    const auto n = static_cast<std::uint32_t>(count);
    write_file_atomic(folder / (stem + "-images-idx3-ubyte"), idx_bytes({n, 3, 4}, pixels));
    write_file_atomic(folder / (stem + "-labels-idx1-ubyte"), idx_bytes({n}, labels));
  }
  Dataset load(Split split) { return load_dataset(folder(), split, log_.log(), pool_); }
  const Path& folder() const { return folder_.path(); }

  test::TempFolder folder_;
  test::MemoryLog log_;
  ThreadPool pool_{2};
};

TEST_F(IdxTest, ReadsPicturesAndLabels) {
  write_split(folder(), "train", 15);
  write_split(folder(), "t10k", 4);
  const Dataset train = load(Split::train);
  ASSERT_EQ(train.size(), 15);
  EXPECT_EQ(train.info().height, 3);
  EXPECT_EQ(train.info().width, 4);
  EXPECT_EQ(train.info().channels, 1);
  EXPECT_EQ(train.class_count(), 10);
  EXPECT_EQ(train.info().class_names[7], "7");
  EXPECT_EQ(train.image(2)[5], 29);
  EXPECT_EQ(train.label(12), 2);
  EXPECT_EQ(load(Split::test).size(), 4);
}

TEST_F(IdxTest, ReadsTheLayoutOfTwoChannels) {
  write_split(folder() / "training", "train", 15);
  write_split(folder() / "testing", "t10k", 4);
  EXPECT_EQ(load(Split::train).size(), 15);
  EXPECT_EQ(load(Split::test).size(), 4);
}

TEST_F(IdxTest, ReadsGzip) {
  write_split(folder(), "train", 15);
  const Dataset plain = load(Split::train);
  for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"})
    ASSERT_EQ(std::system(("gzip " + (folder() / name).string()).c_str()), 0);
  ASSERT_TRUE(std::filesystem::exists(folder() / "train-images-idx3-ubyte.gz"));
  test::expect_equal(load(Split::train), plain);
}

TEST_F(IdxTest, KeepsNamesAndCountsClassesOverBothSplits) {
  write_split(folder(), "train", 15);
  write_split(folder(), "t10k", 4);
  write_file_atomic(folder() / "t10k-labels-idx1-ubyte",
                    idx_bytes({4}, std::string("\x00\x0c\x01\x02", 4)));
  EXPECT_EQ(load(Split::train).class_count(), 13);
  write_file_atomic(folder() / "classes.txt", "shirt\nshoe\n");
  test::expect_error([&] { load(Split::train); }, {"label 12 of 2 classes"});
}

TEST_F(IdxTest, RefusesDamage) {
  write_split(folder(), "train", 15);
  const auto refuse = [&](const char* name, const std::string& bytes,
                          std::initializer_list<const char*> parts) {
    const std::string good = read_text_file(folder() / name, 1 << 20);
    write_file_atomic(folder() / name, bytes);
    test::expect_error([&] { load(Split::train); }, parts);
    write_file_atomic(folder() / name, good);
  };
  const char* images = "train-images-idx3-ubyte";
  refuse(images, "", {images, "cut short"});
  refuse(images, "GIF89a", {images, "no IDX file"});
  refuse(images, idx_bytes({15, 3, 4}, "abc"), {images, "cut short"});
  refuse(images, idx_bytes({1, 1, 1}, "abc"), {images, "more bytes"});
  refuse(images, idx_bytes({0xFFFFFFFF, 0xFFFF, 0xFFFF}, ""), {images, "claims"});
  refuse(images, idx_bytes({0xFFFFFFFF, 9999, 9999}, ""), {images, "limit"});
  refuse(images, idx_bytes({3, 4}, std::string(12, 'a')), {images, "no pictures"});
  refuse(images, idx_bytes({2, 1, 1}, "ab"), {"15 labels for 2 pictures"});
  refuse("train-labels-idx1-ubyte", idx_bytes({15}, "abc"), {"labels", "cut short"});
  std::filesystem::remove(folder() / "train-labels-idx1-ubyte");
  test::expect_error([&] { load(Split::train); }, {"train-labels-idx1-ubyte", "missing"});
}

}  // namespace
}  // namespace kiln
