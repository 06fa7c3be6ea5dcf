#include "engine/data/formats/cifar_python.h"

#include <gtest/gtest.h>

#include "tests/data/support.h"

namespace kiln {
namespace {

// A folder of the corpus's batches, two pictures each.
class CifarPythonTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
                             "data_batch_5", "test_batch"})
      copy("python2", name);
  }
  void copy(const char* from, const char* to) {
    const auto bytes = read_file(test::corpus_folder("pickle") / from, 1 << 20);
    write_file_atomic(folder() / to, bytes);
  }
  Dataset load(Split split) { return load_dataset(folder(), split, log_.log(), pool_); }
  const Path& folder() const { return folder_.path(); }

  test::TempFolder folder_;
  test::MemoryLog log_;
  ThreadPool pool_{1};
};

TEST_F(CifarPythonTest, ReadsBatchesAndNames) {
  const Dataset train = load(Split::train);
  ASSERT_EQ(train.size(), 10);
  EXPECT_EQ(train.label(9), 1);
  EXPECT_EQ(train.image(9)[0], (3072 * 7) % 251);
  EXPECT_EQ(train.info().name, "CIFAR-10");
  copy("meta_protocol2", "batches.meta");
  EXPECT_EQ(load(Split::test).class_count(), 3);
  EXPECT_NE(log_.text().find("CIFAR-10 Python batches"), std::string::npos);
}

TEST_F(CifarPythonTest, RefusesCodeByNameAndMissingBatches) {
  copy("global_os_system", "data_batch_2");
  test::expect_error([&] { load(Split::train); }, {"data_batch_2", "\"os.system\"", "never does"});
  std::filesystem::remove(folder() / "data_batch_2");
  test::expect_error([&] { load(Split::train); }, {"data_batch_2", "missing"});
  EXPECT_EQ(load(Split::test).size(), 2);
}

}  // namespace
}  // namespace kiln
