#include "engine/serve/model_folders.h"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/support/temp_folder.h"

namespace kiln::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ModelFoldersTest : public TempFolderTest {
 protected:
  void add(const std::string& path, const std::string& file = "model.json") const {
    std::filesystem::create_directories(folder() / path);
    std::ofstream(folder() / path / file) << "{}";
  }
  // "name:version:path"
  std::vector<std::string> found() const {
    std::vector<std::string> list;
    for (const ModelFolder& model : find_models(folder()))
      list.push_back(model.name + ":" + model.version + ":" +
                     std::filesystem::relative(model.path, folder()).string());
    return list;
  }
  std::string fault() const {
    try {
      find_models(folder());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ModelFoldersTest, OneModel) {
  add(".");
  add("tensorboard", "events");
  EXPECT_THAT(found(), ElementsAre(":1:."));
}

TEST_F(ModelFoldersTest, VersionsInTheOrderOfTheirNumbers) {
  for (const char* version : {"10", "9", "2"}) add(version);
  add("11", "model.safetensors");  // its card is still to come
  add("007");
  std::filesystem::remove_all(folder() / "007");
  EXPECT_THAT(found(), ElementsAre(":2:2", ":9:9", ":10:10"));
}

TEST_F(ModelFoldersTest, SeveralModelsWithAndWithoutVersions) {
  add("cats");
  add("dogs/3");
  add("dogs/12");
  add("dogs/notes", "model.json");  // no version
  add(".hidden");
  add("empty", "readme.txt");
  std::ofstream(folder() / "file") << "x";
  EXPECT_THAT(found(), ElementsAre("cats:1:cats", "dogs:3:dogs/3", "dogs:12:dogs/12"));
}

TEST_F(ModelFoldersTest, ALinkToAFolderIsAFolder) {
  add("real/2");
  std::filesystem::create_directory_symlink(folder() / "real", folder() / "linked");
  std::filesystem::create_directory_symlink(folder() / "nowhere", folder() / "broken");
  EXPECT_THAT(found(), ElementsAre("linked:2:real/2", "real:2:real/2"));
}

TEST_F(ModelFoldersTest, FaultsAreNamed) {
  EXPECT_THAT(fault(), HasSubstr("holds no model"));
  add("1");
  add("cats");
  EXPECT_THAT(fault(), HasSubstr("holds versions (1) and models (cats) side by side"));
  EXPECT_THROW(find_models(folder() / "nothing"), Error);
}

TEST_F(ModelFoldersTest, AStampChangesWithEveryFile) {
  add(".");
  const FolderStamp first = stamp_of(folder());
  EXPECT_EQ(stamp_of(folder()), first);
  add(".", "model.safetensors");
  const FolderStamp second = stamp_of(folder());
  EXPECT_NE(second, first);
  std::ofstream(folder() / "new") << "{}";  // the same bytes under another inode
  std::filesystem::rename(folder() / "new", folder() / "model.json");
  EXPECT_NE(stamp_of(folder()), second);
  add(".", "notes.txt");
  EXPECT_EQ(stamp_of(folder()), stamp_of(folder()));
}

}  // namespace
}  // namespace kiln::serve
