#include "engine/data/formats/image_folder.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/data/formats/common.h"
#include "engine/data/parallel.h"
#include "engine/image/image_codec.h"
#include "engine/image/resize.h"

namespace kiln::formats {
namespace {

constexpr std::uint64_t kMaxPictureBytes = std::uint64_t{1} << 28;
constexpr std::int64_t kChunkFiles = 32;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

bool is_folder_entry(int folder, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN && entry.d_type != DT_LNK) return entry.d_type == DT_DIR;
  struct stat info {};
  return ::fstatat(folder, entry.d_name, &info, 0) == 0 && S_ISDIR(info.st_mode);
}

struct Listing {
  std::vector<std::string> folders;
  std::vector<std::string> files;
};

// Names in a folder, sorted; hidden ones left out.
Listing list(const Path& folder) {
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir(folder.c_str()));
  if (!directory) throw Error(ErrorKind::io, folder.string(), "cannot open: " + errno_text(errno));
  Listing listing;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    auto& names =
        is_folder_entry(::dirfd(directory.get()), *entry) ? listing.folders : listing.files;
    names.emplace_back(entry->d_name);
  }
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

bool is_picture_name(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string suffix(name.substr(dot + 1));
  for (char& c : suffix) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return suffix == "jpg" || suffix == "jpeg" || suffix == "png";
}

bool holds_pictures(const Path& folder) {
  const Listing listing = list(folder);
  return std::any_of(listing.files.begin(), listing.files.end(), is_picture_name);
}

// The files of all classes, in the order of their samples.
struct Files {
  Path root;
  std::vector<std::string> class_names;
  std::vector<UniqueFd> class_folders = {};
  struct File {
    std::string name;
    std::int32_t label = 0;
  };
  std::vector<File> files = {};
  std::int64_t skipped_count = 0;

  Path path_of(const File& file) const {
    return root / class_names[static_cast<std::size_t>(file.label)] / file.name;
  }
};

Files find_files(const Path& root, std::vector<std::string> class_names) {
  Files found{.root = root, .class_names = std::move(class_names)};
  for (std::size_t label = 0; label < found.class_names.size(); ++label) {
    const Path folder = root / found.class_names[label];
    found.class_folders.emplace_back(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!is_folder(folder)) continue;  // a class without test pictures
    for (std::string& name : list(folder).files) {
      if (!is_picture_name(name)) {
        ++found.skipped_count;
        continue;
      }
      found.files.push_back({std::move(name), static_cast<std::int32_t>(label)});
    }
  }
  if (found.files.empty()) refuse(root, "holds no JPEG or PNG pictures");
  return found;
}

// What one thread keeps while it reads: nothing is allocated per file.
struct Worker {
  ImageDecoder decoder{ImageLimits{}};
  Resizer resizer;
  Image image;
  std::vector<std::byte> bytes = std::vector<std::byte>(1 << 16);

  // One open, one read and one close for a small file; its size is asked for only when it does
  // not fit.
  std::span<const std::byte> read(int folder, const char* name, const Files& files,
                                  const Files::File& file) {
    const UniqueFd fd(::openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) fail(files.path_of(file), "open");
    std::size_t count = 0;
    while (true) {
      const ssize_t got = ::read(fd.get(), bytes.data() + count, bytes.size() - count);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(files.path_of(file), "read");
      count += static_cast<std::size_t>(got);
      // Less than asked for is the end of a regular file.
      if (count < bytes.size()) return std::span(bytes).first(count);
      if (bytes.size() >= kMaxPictureBytes) refuse(files.path_of(file), "is too large a file");
      bytes.resize(bytes.size() * 4);
    }
  }

  [[noreturn]] static void fail(const Path& path, const char* doing) {
    throw Error(ErrorKind::io, path.string(),
                std::string("cannot ") + doing + ": " + errno_text(errno));
  }
};

class Reader {
 public:
  Reader(const Files& files, ThreadPool& pool, const LoadOptions& options)
      : files_(files),
        pool_(pool),
        pause_(options.pause),
        workers_(static_cast<std::size_t>(pool.thread_count())) {
    // The first picture decides what all have to be.
    Image& first = load(workers_[0], files.files[0], 0);
    channels_ = first.channels;
    size_ = options.resize.value_or(ImageSize{first.height, first.width});
    resize_ = options.resize.has_value();
  }

  // A grey first picture makes the set grey only if all are.
  Buffer run() {
    Buffer images = read_all();
    if (!colour_found_) return images;
    channels_ = 3;
    return read_all();
  }
  std::int64_t channels() const { return channels_; }
  const ImageSize& size() const { return size_; }

 private:
  Image& load(Worker& worker, const Files::File& file, int channels) {
    const auto bytes = worker.read(files_.class_folders[static_cast<std::size_t>(file.label)].get(),
                                   file.name.c_str(), files_, file);
    try {
      worker.decoder.decode(bytes, file.name, channels, worker.image);
    } catch (const Error&) {  // again, with the whole path: paths are made only for messages
      worker.decoder.decode(bytes, files_.path_of(file).string(), channels, worker.image);
    }
    return worker.image;
  }

  Buffer read_all() {
    const auto count = static_cast<std::int64_t>(files_.files.size());
    const std::int64_t image_bytes = size_.height * size_.width * channels_;
    Buffer images = image_buffer(files_.root, count, image_bytes);
    auto* out = reinterpret_cast<std::uint8_t*>(images.data());
    parallel_try(pool_, (count + kChunkFiles - 1) / kChunkFiles,
                 [&](std::int64_t chunk, int thread) {
                   if (pause_) pause_();
                   const std::int64_t last = std::min(count, (chunk + 1) * kChunkFiles);
                   for (std::int64_t i = chunk * kChunkFiles; i < last; ++i)
                     read_one(workers_[static_cast<std::size_t>(thread)],
                              files_.files[static_cast<std::size_t>(i)], out + i * image_bytes);
                 });
    return images;
  }

  void read_one(Worker& worker, const Files::File& file, std::uint8_t* out) {
    if (colour_found_.load(std::memory_order_relaxed) && channels_ == 1) return;
    const Image& image = load(worker, file, channels_ == 3 ? 3 : 0);
    if (image.channels != channels_) {
      colour_found_ = true;
      return;
    }
    if (!resize_ && (image.height != size_.height || image.width != size_.width))
      refuse(files_.path_of(file),
             "has " + std::to_string(image.width) + "x" + std::to_string(image.height) +
                 " pixels where the first picture has " + std::to_string(size_.width) + "x" +
                 std::to_string(size_.height),
             "ask for one size to resize them all");
    worker.resizer.resize(image, size_, out);
  }

  const Files& files_;
  ThreadPool& pool_;
  const std::function<void()>& pause_;
  std::vector<Worker> workers_;
  std::int64_t channels_ = 3;
  ImageSize size_;
  bool resize_ = false;
  std::atomic<bool> colour_found_ = false;
};

// train/ and test/ where they are, else the folder itself.
Path root_of(const Path& folder, Split split, Log& log) {
  Path train = split_folder(folder, Split::train);
  if (train.empty()) {
    if (split == Split::test)
      log.warning(printable(folder.string()) +
                  " has no test pictures: the training pictures are tested on");
    return folder;
  }
  if (split == Split::train) return train;
  if (Path test = split_folder(folder, Split::test); !test.empty()) return test;
  log.warning(printable(folder.string()) +
              " has no test folder: the training pictures are tested on");
  return train;
}

std::vector<std::string> class_names_of(const Path& folder) {
  if (const Path listed = folder / "classes.txt"; is_file(listed)) {
    std::vector<std::string> names =
        parse_class_names(listed, read_text_file(listed, kMaxTextBytes));
    for (const std::string& name : names)  // never a way out of the folder
      if (name.find('/') != std::string::npos || name.front() == '.')
        refuse(listed, "has a class name that names no folder: \"" + name + "\"");
    return names;
  }
  Path train = split_folder(folder, Split::train);
  const Path root = train.empty() ? folder : train;
  std::vector<std::string> names;
  for (std::string& name : list(root).folders)
    if (holds_pictures(root / name)) names.push_back(std::move(name));
  if (names.empty()) refuse(root, "has no folder with pictures in it, one per class");
  std::string lines;
  for (const std::string& name : names) lines += name + "\n";
  return parse_class_names(root, lines);
}

void refuse_unknown_classes(const Path& root, const std::vector<std::string>& names) {
  for (const std::string& name : list(root).folders)
    if (std::find(names.begin(), names.end(), name) == names.end() && holds_pictures(root / name))
      refuse(root / name, "is no class of the training pictures or of classes.txt");
}

}  // namespace

bool is_image_folder(const Path& folder) {
  if (!is_folder(folder)) return false;
  for (const Path& root : {split_folder(folder, Split::train), folder}) {
    if (!is_folder(root)) continue;
    for (const std::string& name : list(root).folders)
      if (holds_pictures(root / name)) return true;
  }
  return false;
}

Dataset load_image_folder(const Path& path, const Path& folder, Split split, Log& log,
                          ThreadPool& pool, const LoadOptions& options) {
  const std::vector<std::string> names = class_names_of(folder);
  const Path root = root_of(folder, split, log);
  refuse_unknown_classes(root, names);
  const Files files = find_files(root, names);
  if (files.skipped_count > 0)
    log.warning(printable(root.string()) + ": " + std::to_string(files.skipped_count) +
                " files that are no .jpg, .jpeg or .png were skipped");
  Reader reader(files, pool, options);
  Buffer images = reader.run();
  DatasetInfo info =
      describe("image folder decoded by " + image_decoder_name(), path, folder, names);
  info.height = reader.size().height;
  info.width = reader.size().width;
  info.channels = reader.channels();
  std::vector<std::int32_t> labels;
  labels.reserve(files.files.size());
  for (const Files::File& file : files.files) labels.push_back(file.label);
  return Dataset(std::move(info), std::move(images), std::move(labels));
}

}  // namespace kiln::formats
