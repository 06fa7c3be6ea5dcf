#include <gtest/gtest.h>
#include <zlib.h>

#include "engine/data/formats/cifar_archive.h"
#include "engine/data/formats/tar.h"
#include "tests/data/support.h"

namespace kiln {
namespace {

// tests/fuzz/corpus/archive holds archives made by Python's tarfile: two pictures per training
// batch and one test picture, in the order of the official file.
class ArchiveTest : public testing::Test {
 protected:
  Path file(const char* name) const { return test::corpus_folder("archive") / name; }
  DatasetPair load(const Path& path) { return load_dataset_pair(path, log_.log(), pool_); }
  void expect_refused(const char* name, std::initializer_list<const char*> parts) {
    test::expect_error([&] { load(file(name)); }, parts);
  }
  test::MemoryLog log_;
  ThreadPool pool_{2};
};

TEST_F(ArchiveTest, ReadsBinaryBatchesInTheirOrder) {
  for (const char* name : {"binary.tar", "binary.tar.gz"}) {
    const DatasetPair pair = load(file(name));
    ASSERT_EQ(pair.train.size(), 10);
    ASSERT_EQ(pair.test.size(), 1);
    EXPECT_EQ(pair.train.info().class_names[9], "truck");
    for (std::int64_t i = 0; i < 10; ++i) {
      // The maker's formula: byte a of record r of batch k is (31 r + 7 a + k) mod 256.
      const auto expected = [&](std::int64_t a) { return (i % 2 * 31 + a * 7 + i / 2 + 1) & 255; };
      EXPECT_EQ(pair.train.label(i), i % 2);
      EXPECT_EQ(pair.train.image(i)[0], expected(0));
      EXPECT_EQ(pair.train.image(i)[3 * 500 + 2], expected(2 * 1024 + 500));
    }
  }
}

TEST_F(ArchiveTest, ReadsPythonBatches) {
  const DatasetPair pair = load(file("python.tar.gz"));
  EXPECT_EQ(pair.train.size(), 10);
  EXPECT_EQ(pair.test.size(), 1);
  EXPECT_EQ(pair.train.image(1)[0], (3072 * 7) % 251);
  EXPECT_NE(log_.text().find("CIFAR-10 Python archive"), std::string::npos);
}

TEST_F(ArchiveTest, MayHaveAnyNameWhereItIsTheOnlyOne) {
  test::TempFolder folder;
  std::filesystem::copy(file("python.tar.gz"), folder.path() / "data.tgz");
  EXPECT_EQ(find_layout(folder.path()), DataLayout::archive);
  EXPECT_EQ(load(folder.path()).train.size(), 10);
  std::filesystem::copy(file("python.tar.gz"), folder.path() / "more.tar");
  EXPECT_EQ(find_layout(folder.path()), std::nullopt);
}

TEST_F(ArchiveTest, WithoutBatchesIsRefusedWithAMend) {
  test::TempFolder folder;
  write_file_atomic(folder.path() / "pictures.tar", std::string(1024, '\0'));
  test::expect_error([&] { load(folder.path()); },
                     {"pictures.tar: holds no batch of CIFAR-10; if it holds pictures, unpack it"});
}

TEST_F(ArchiveTest, OneSplitAloneIsTheSame) {
  const DatasetPair pair = load(file("binary.tar.gz"));
  test::expect_equal(load_dataset(file("binary.tar.gz"), Split::train, log_.log(), pool_),
                     pair.train);
  test::expect_equal(load_dataset(file("binary.tar.gz"), Split::test, log_.log(), pool_),
                     pair.test);
}

TEST_F(ArchiveTest, RefusesDamage) {
  expect_refused("cut.tar.gz", {"cut.tar.gz", "cut short"});
  expect_refused("cut.tar", {"cut.tar", "cut short"});
  expect_refused("lying_size.tar", {"lying_size.tar:data_batch_1.bin", "multiple"});
  expect_refused("binary_size.tar", {"is no size"});
  expect_refused("bad_checksum.tar", {"tar archive"});
  expect_refused("twice.tar", {"batch twice"});
  expect_refused("empty", {"holds no batch of CIFAR-10"});
  expect_refused("not_gzip.gz", {"damaged"});
}

std::vector<std::uint8_t> gzip(const std::vector<std::uint8_t>& plain) {
  z_stream stream{};
  ::deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  std::vector<std::uint8_t> out(::deflateBound(&stream, plain.size()));
  stream.next_in = const_cast<std::uint8_t*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

TEST(Gzip, BoundsABomb) {
  const auto bomb = gzip(std::vector<std::uint8_t>(10'000'000));
  ASSERT_LT(bomb.size(), 20'000u);
  const auto source = formats::memory_source("bomb.gz", bomb, 1 << 20);
  test::expect_error([&] { formats::read_rest(*source, "bomb.gz", std::uint64_t{1} << 40); },
                     {"bomb.gz", "more than the limit"});
}

TEST(Gzip, JoinsMembersAndStopsAtPadding) {
  auto bytes = gzip({1, 2, 3});
  const auto second = gzip({4, 5});
  bytes.insert(bytes.end(), second.begin(), second.end());
  bytes.insert(bytes.end(), 100, 0);
  const auto source = formats::memory_source("two.gz", bytes, 1000);
  EXPECT_EQ(formats::read_rest(*source, "two.gz", 1000),
            (std::vector<std::uint8_t>{1, 2, 3, 4, 5}));
}

TEST(Gzip, NoticesAWrongChecksum) {
  auto bytes = gzip(std::vector<std::uint8_t>(1000, 7));
  bytes[bytes.size() - 6] ^= 1;  // the CRC before the length
  const auto source = formats::memory_source("bad.gz", bytes, 10'000);
  test::expect_error([&] { formats::read_rest(*source, "bad.gz", 10'000); }, {"damaged"});
}

TEST(Tar, SkipsWhatIsNoRegularFile) {
  const Path path = test::corpus_folder("archive") / "binary.tar";
  const auto source = formats::open_source(path, 1 << 20);
  formats::TarReader tar(path, *source);
  std::vector<std::string> names;
  while (const auto entry = tar.next()) names.push_back(entry->name);
  ASSERT_EQ(names.size(), 8u);
  EXPECT_EQ(names[0], "cifar-10-batches-bin/data_batch_1.bin");
}

}  // namespace
}  // namespace kiln
