// Runs a fuzz target once over every file of the given folders, with any compiler: the committed
// corpus is an ordinary test. A crash, a hang or an uncaught exception fails it, and the name of
// the file is the last line printed.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::uint8_t> read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int replay(const std::filesystem::path& folder) {
  int file_count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::printf("replay %s\n", entry.path().c_str());
    std::fflush(stdout);
    // An exact-size heap copy, so that AddressSanitizer sees a read one byte past the end.
    const std::vector<std::uint8_t> input = read_all(entry.path());
    LLVMFuzzerTestOneInput(input.data(), input.size());
    ++file_count;
  }
  return file_count;
}

}  // namespace

int main(int argument_count, char** arguments) try {
  int file_count = 0;
  for (int i = 1; i < argument_count; ++i) file_count += replay(arguments[i]);
  std::printf("%d inputs replayed\n", file_count);
  if (file_count == 0) std::fprintf(stderr, "replay: no corpus file found\n");
  return file_count == 0 ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "replay: uncaught exception: %s\n", error.what());
  return 1;
}
