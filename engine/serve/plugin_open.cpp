// Opens libraries. The loader tells libraries apart by their paths, so a file that was replaced
// would be the old one again for as long as a model uses that; and whoever writes into a file that
// is mapped changes code that runs. Therefore what is opened is a copy in memory, sealed, whose
// path is its own.
#include <algorithm>
#include <dlfcn.h>
#include <fcntl.h>
#include <span>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/core/error.h"
#include "engine/serve/hook_call.h"
#include "engine/serve/plugin_hooks.h"
#include "engine/serve/plugin_loader.h"

namespace kiln::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;

[[noreturn]] void fail(const Path& file, const std::string& wrong) {
  throw Error(ErrorKind::io, file.string(), wrong);
}

void write_all(int fd, std::span<const std::byte> bytes, const Path& file) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) fail(file, "cannot be copied into memory: " + errno_text(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

UniqueFd sealed_copy(const Path& file) {
  const std::vector<std::byte> bytes = read_file(file, kMostBytes);
  UniqueFd copy(::memfd_create("kiln-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) fail(file, "cannot be copied into memory: " + errno_text(errno));
  write_all(copy.get(), bytes, file);
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(copy.get(), F_ADD_SEALS, kSeals) != 0)
    fail(file, "cannot be sealed in memory: " + errno_text(errno));
  return copy;
}

std::string loader_text(const std::string& path, const Path& file) {
  const char* text = ::dlerror();
  std::string words = printable(text == nullptr ? "no reason given" : text, 1024);
  if (const std::size_t at = words.find(path); at != words.npos)
    words.replace(at, path.size(), file.filename().string());
  return words;
}

class Library {
 public:
  explicit Library(const Path& file)
      : copy_(sealed_copy(file)), path_("/proc/self/fd/" + std::to_string(copy_.get())) {
    handle_ = ::dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr)
      throw Error(ErrorKind::input, file.string(),
                  "is no library that can be loaded: " + loader_text(path_, file));
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    ::dlclose(handle_);
    // A library may insist on staying. Then its path must stay taken.
    if (::dlopen(path_.c_str(), RTLD_NOW | RTLD_NOLOAD) != nullptr) copy_.release();
  }

  void* symbol(const char* name) const { return ::dlsym(handle_, name); }

 private:
  UniqueFd copy_;
  const std::string path_;
  void* handle_ = nullptr;
};

// The file itself, all links followed.
Path file_of_plugin(const Path& directory, const std::string& name) {
  std::error_code failed;
  const Path root = fs::canonical(directory, failed);
  Path file = failed ? Path() : fs::canonical(directory / name, failed);
  const std::string thing = (directory / name).string();
  if (failed)
    throw Error(ErrorKind::input, thing, "cannot be opened: " + failed.message(),
                "model.json names it as the model's plug-in; put it there");
  if (std::ranges::mismatch(root, file).in1 != root.end())
    throw Error(ErrorKind::input, thing, "leads out of the model's directory",
                "put the plug-in itself there");
  if (!fs::is_regular_file(file, failed)) throw Error(ErrorKind::input, thing, "is not a file");
  return file;
}

}  // namespace

bool has_plugins() { return true; }

std::shared_ptr<const Hooks> open_plugin(const Path& directory, const std::string& name,
                                         const ModelIdentity& identity) {
  constexpr const char* kEntry = "kiln_hooks";
  const Path file = file_of_plugin(directory, name);
  auto library = std::make_shared<const Library>(file);
  const auto entry = reinterpret_cast<decltype(&::kiln_hooks)>(library->symbol(kEntry));
  if (entry == nullptr)
    throw Error(ErrorKind::unsupported, file.string(),
                std::string("is no plug-in of kiln: it does not export ") + kEntry + "()",
                "see engine/serve/plugin_api.h");
  const KilnHooks* table = call_hook(kEntry, [&] { return entry(); });
  return make_plugin_hooks(table, std::move(library), file.string(), directory, identity);
}

}  // namespace kiln::serve
