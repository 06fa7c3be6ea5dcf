#include "engine/serve/model_folders.h"

#include <algorithm>
#include <sys/stat.h>

#include "engine/core/error.h"
#include "engine/serve/served_model.h"
#include "models/model_directory.h"
#include "models/torch_model.h"

namespace kiln::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostVersionDigits = 18;
constexpr const char* kFirstVersion = "1";

bool is_model(const Path& folder) {
  std::error_code failed;
  return fs::is_regular_file(folder / kCardFile, failed) ||
         (torch_files_in(folder).size() == 1 && is_torch_directory(folder));
}

bool is_version(std::string_view name) {
  return !name.empty() && name.size() <= kMostVersionDigits && name.front() != '0' &&
         std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> folders_in(const Path& folder) {
  std::vector<std::string> names = names_in(folder);
  std::erase_if(names, [&](const std::string& name) {
    std::error_code not_there;
    return !fs::is_directory(folder / name, not_there);
  });
  return names;
}

std::vector<ModelFolder> versions_in(const Path& folder, const std::string& name) {
  std::vector<ModelFolder> found;
  for (const std::string& version : folders_in(folder))
    if (is_version(version) && is_model(folder / version))
      found.push_back({name, version, folder / version});
  std::ranges::sort(found, OlderVersion(), &ModelFolder::version);
  return found;
}

// A folder `name` in the root.
void add_model(const Path& folder, const std::string& name, std::vector<ModelFolder>& all) {
  if (is_model(folder)) {
    all.push_back({name, kFirstVersion, folder});
    return;
  }
  const std::vector<ModelFolder> found = versions_in(folder, name);
  all.insert(all.end(), found.begin(), found.end());
}

}  // namespace

std::vector<ModelFolder> find_models(const Path& root) {
  std::error_code failed;
  if (!fs::is_directory(root, failed))
    throw Error(
        ErrorKind::input, printable(root.string()), "is not a folder",
        "name the folder that kiln train --model-dir wrote, or one of several such folders");
  if (is_model(root)) return {{"", kFirstVersion, root}};
  const std::vector<ModelFolder> versions = versions_in(root, "");
  std::vector<ModelFolder> models;
  for (const std::string& name : folders_in(root))
    if (!is_version(name)) add_model(root / name, name, models);
  if (!versions.empty() && !models.empty())
    throw Error(ErrorKind::input, printable(root.string()),
                "holds versions (" + versions.front().version + ") and models (" +
                    printable(models.front().name) + ") side by side",
                "give every model a folder of its own");
  if (versions.empty() && models.empty()) {
    find_torch_file(root);  // several have an error of their own
    throw Error(
        ErrorKind::input, printable(root.string()),
        "holds no model: neither model.json nor a .pth file is there",
        "name the folder that kiln train --model-dir wrote, or one of several such folders");
  }
  return versions.empty() ? models : versions;
}

FolderStamp stamp_of(const Path& folder) {
  FolderStamp stamp;
  std::vector<Path> files = {folder / kCardFile, folder / kWeightsFile, folder / kGoldenFile};
  for (Path& file : torch_files_in(folder)) files.push_back(std::move(file));
  for (const Path& file : files) {
    struct stat is {};
    const bool there = ::stat(file.c_str(), &is) == 0;
    const auto ns = [](const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; };
    if (there)
      stamp.files.push_back({static_cast<std::int64_t>(is.st_dev),
                             static_cast<std::int64_t>(is.st_ino), is.st_size, ns(is.st_mtim),
                             ns(is.st_ctim)});
    else
      stamp.files.push_back({});
  }
  return stamp;
}

}  // namespace kiln::serve
