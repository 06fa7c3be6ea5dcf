#include "apps/predict/picture_list.h"

#include <algorithm>
#include <system_error>

#include "engine/core/error.h"

namespace kiln {
namespace {

namespace fs = std::filesystem;

bool is_picture_name(const Path& path) {
  std::string suffix = path.extension().string();
  std::ranges::transform(suffix, suffix.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return suffix == ".jpg" || suffix == ".jpeg" || suffix == ".png";
}

// The pictures below `folder`; the system's reason where it could not be read to its end.
std::error_code walk(const Path& folder, std::vector<Path>& files) {
  std::error_code error;
  fs::recursive_directory_iterator at(folder, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;  // an entry that vanished is no directory and no file
    const bool hidden = at->path().filename().native().starts_with('.');
    if (hidden && at->is_directory(ignored)) at.disable_recursion_pending();
    if (!hidden && is_picture_name(at->path()) && at->is_regular_file(ignored))
      files.push_back(at->path());
  }
  std::ranges::sort(files, {}, &Path::native);
  return error;
}

}  // namespace

PictureList find_pictures(const std::vector<std::string>& arguments) {
  PictureList list;
  for (const std::string& argument : arguments) {
    std::error_code error;
    const fs::file_status status = fs::status(argument, error);
    if (!fs::exists(status)) {
      const std::string reason = error ? error.message() : "No such file or directory";
      list.faults.push_back(printable(argument, 4096) + ": cannot open: " + reason);
      continue;
    }
    if (!fs::is_directory(status)) {
      list.files.emplace_back(argument);
      continue;
    }
    std::vector<Path> found;
    if (const std::error_code failed = walk(argument, found))
      list.faults.push_back(printable(argument, 4096) + ": cannot read: " + failed.message());
    else if (found.empty())
      list.faults.push_back(printable(argument, 4096) + ": holds no .jpg, .jpeg or .png files");
    list.files.insert(list.files.end(), found.begin(), found.end());
  }
  return list;
}

}  // namespace kiln
