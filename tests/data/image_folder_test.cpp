#include <gtest/gtest.h>

#include "engine/image/image_codec.h"
#include "tests/data/support.h"

namespace kiln {
namespace {

Image picture(int width, int height, int channels, int value) {
  Image image{.width = width, .height = height, .channels = channels};
  for (int i = 0; i < width * height * channels; ++i)
    image.bytes.push_back(static_cast<std::uint8_t>(value + i));
  return image;
}

class ImageFolderTest : public testing::Test {
 protected:
  void put(const std::string& name, const Image& image) {
    make_directories((folder() / name).parent_path());
    test::write_quickly(folder() / name, encode_png(image));
  }
  void put_two_classes(const std::string& root) {
    for (int i = 0; i < 40; ++i) {
      put(root + "cat/" + std::to_string(100 + i) + ".png", picture(6, 5, 3, i));
      put(root + "ant/" + std::to_string(100 + i) + ".PNG", picture(6, 5, 3, 100 + i));
    }
  }
  Dataset load(Split split, const LoadOptions& options = {}) {
    return load_dataset(folder(), split, log_.log(), pool_, options);
  }
  const Path& folder() const { return folder_.path(); }

  test::TempFolder folder_;
  test::MemoryLog log_;
  ThreadPool pool_{3};
};

TEST_F(ImageFolderTest, SortsClassesAndFiles) {
  put_two_classes("train/");
  put("test/cat/a.png", picture(6, 5, 3, 50));
  const Dataset train = load(Split::train);
  ASSERT_EQ(train.size(), 80);
  EXPECT_EQ(train.info().class_names, (std::vector<std::string>{"ant", "cat"}));
  for (std::int64_t i = 0; i < 80; ++i) {
    EXPECT_EQ(train.label(i), i / 40);
    EXPECT_EQ(train.image(i)[1], (i < 40 ? 100 : 0) + i % 40 + 1);
  }
  const Dataset test = load(Split::test);
  ASSERT_EQ(test.size(), 1);
  EXPECT_EQ(test.label(0), 1);
  EXPECT_EQ(test.info().class_names, train.info().class_names);
  EXPECT_NE(log_.text().find("decoded by"), std::string::npos);
}

TEST_F(ImageFolderTest, ReadsFoldersThatAreCalledAsChannelsAre) {
  put_two_classes("training/");
  put("validation/cat/a.png", picture(6, 5, 3, 50));
  EXPECT_EQ(find_layout(folder()), DataLayout::image_folder);
  EXPECT_EQ(load(Split::train).size(), 80);
  EXPECT_EQ(load(Split::test).label(0), 1);
}

TEST_F(ImageFolderTest, ReadsABareFolderAndSaysWhatIsTested) {
  put_two_classes("");
  EXPECT_EQ(load(Split::train).size(), 80);
  EXPECT_EQ(log_.text().find("warning"), std::string::npos);
  EXPECT_EQ(load(Split::test).size(), 80);
  EXPECT_NE(log_.text().find("warning"), std::string::npos);
}

TEST_F(ImageFolderTest, NamesTheFirstPictureOfAnotherSize) {
  put_two_classes("train/");
  put("train/cat/105.png", picture(7, 5, 3, 0));
  put("train/cat/139.png", picture(8, 5, 3, 0));
  test::expect_error([&] { load(Split::train); }, {"cat/105.png", "7x5", "6x5"});
  const Dataset resized = load(Split::train, {.resize = ImageSize{4, 3}});
  EXPECT_EQ(resized.size(), 80);
  EXPECT_EQ(resized.image_bytes(), 36);
}

TEST_F(ImageFolderTest, IsGreyOnlyIfAllPicturesAre) {
  for (int i = 0; i < 70; ++i)
    put("train/ant/" + std::to_string(100 + i) + ".png", picture(6, 5, 1, i));
  EXPECT_EQ(load(Split::train).info().channels, 1);
  put("train/cat/a.png", picture(6, 5, 3, 0));
  const Dataset colour = load(Split::train);
  EXPECT_EQ(colour.info().channels, 3);
  EXPECT_EQ(colour.image(69)[5], 70);  // pixel 1 of a grey picture, its blue byte
}

TEST_F(ImageFolderTest, RefusesDamagedPicturesByName) {
  put_two_classes("train/");
  write_file_atomic(folder() / "train/cat/120.png", "");
  test::expect_error([&] { load(Split::train); }, {"cat/120.png", "empty"});
  write_file_atomic(folder() / "train/cat/120.png", "not a picture");
  test::expect_error([&] { load(Split::train); }, {"cat/120.png", "neither"});
}

TEST_F(ImageFolderTest, WarnsOfOtherFilesAndRefusesOtherClasses) {
  put_two_classes("train/");
  write_file_atomic(folder() / "train/cat/readme.txt", "text");
  EXPECT_EQ(load(Split::train).size(), 80);
  EXPECT_NE(log_.text().find("1 files that are no"), std::string::npos);
  put("test/dog/a.png", picture(6, 5, 3, 50));
  test::expect_error([&] { load(Split::test); }, {"test/dog", "no class of the training pictures"});
}

TEST_F(ImageFolderTest, ReadsFilesLargerThanItsFirstBuffer) {
  Image noise{.width = 300, .height = 300, .channels = 3};
  RandomSequence random(1, RandomStream::synthesise, 0);
  for (int i = 0; i < 300 * 300 * 3; ++i)
    noise.bytes.push_back(static_cast<std::uint8_t>(random.next_u32() >> 24));
  put("train/a/1.png", noise);
  ASSERT_GT(std::filesystem::file_size(folder() / "train/a/1.png"), 200'000u);
  const Dataset train = load(Split::train);
  EXPECT_TRUE(std::equal(noise.bytes.begin(), noise.bytes.end(), train.image(0).begin()));
}

// All 60,000 real pictures, where they are at hand.
TEST(RealPictures, AreReadWhole) {
  const char* source = std::getenv("KILN_SOURCE_DIR");
  const Path archive =
      Path(source != nullptr ? source : ".") / "../shared/data/cifar10-jpeg.tar.xz";
  if (!std::filesystem::exists(archive)) GTEST_SKIP() << archive << " is not there";
  test::TempFolder folder;
  const std::string unpack =
      "tar -xJf '" + archive.string() + "' -C '" + folder.path().string() + "'";
  if (std::system(unpack.c_str()) != 0) GTEST_SKIP() << "tar cannot unpack " << archive;
  test::MemoryLog log;
  ThreadPool two(2), one(1);
  const DatasetPair pair = load_dataset_pair(folder.path(), log.log(), two);
  ASSERT_EQ(pair.train.size(), 50'000);
  ASSERT_EQ(pair.test.size(), 10'000);
  EXPECT_EQ(pair.train.info().name, "CIFAR-10");
  EXPECT_EQ(pair.train.info().class_names[1], "automobile");
  EXPECT_EQ(pair.train.label(5000), 1);
  test::expect_equal(load_dataset(folder.path(), Split::test, log.log(), one), pair.test);
}

}  // namespace
}  // namespace kiln
