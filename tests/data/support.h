// What the tests of the data room share: temporary folders, small data sets, expected errors.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/rng.h"
#include "engine/data/dataset.h"

namespace kiln::test {

class TempFolder {
 public:
  TempFolder() {
    std::string name = testing::TempDir() + "kiln-data-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const Path& path() const { return path_; }

 private:
  Path path_;
};

// The committed inputs of a fuzz target, hostile and good ones.
inline Path corpus_folder(const char* target) {
  const char* source = std::getenv("KILN_SOURCE_DIR");
  return Path(source != nullptr ? source : ".") / "tests/fuzz/corpus" / target;
}

// Without the syncs of write_file_atomic: for tests that make many files.
inline void write_quickly(const Path& path, std::span<const std::byte> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

inline std::string string_of(const std::vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Random pictures with labels i % class_count; the pixels depend on the seed alone.
inline Dataset random_dataset(std::int64_t count, std::int64_t height, std::int64_t width,
                              std::int64_t channels, int class_count = 10, std::uint64_t seed = 7) {
  DatasetInfo info{.name = "random", .origin = "test", .height = height, .width = width};
  info.channels = channels;
  for (int c = 0; c < class_count; ++c) info.class_names.push_back("class" + std::to_string(c));
  const std::int64_t bytes = count * height * width * channels;
  Buffer images(Device{}, static_cast<std::size_t>(bytes));
  RandomSequence random(seed, RandomStream::synthesise, 0);
  for (std::int64_t i = 0; i < bytes; ++i)
    images.data()[i] = static_cast<std::byte>(random.next_u32() >> 24);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < labels.size(); ++i)
    labels[i] = static_cast<std::int32_t>(i % static_cast<std::size_t>(class_count));
  return Dataset(std::move(info), std::move(images), std::move(labels));
}

inline void expect_equal(const Dataset& a, const Dataset& b) {
  ASSERT_EQ(a.size(), b.size());
  ASSERT_EQ(a.image_bytes(), b.image_bytes());
  EXPECT_EQ(a.info().height, b.info().height);
  EXPECT_EQ(a.info().channels, b.info().channels);
  EXPECT_EQ(a.info().class_names, b.info().class_names);
  EXPECT_TRUE(std::equal(a.labels().begin(), a.labels().end(), b.labels().begin()));
  EXPECT_TRUE(std::equal(a.images().begin(), a.images().end(), b.images().begin()));
}

// Runs `action`, which must throw kiln::Error with all of `parts` in its one line.
template <class Action>
void expect_error(const Action& action, std::initializer_list<const char*> parts) {
  try {
    action();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    const std::string line = error.what();
    for (const char* part : parts)
      EXPECT_NE(line.find(part), std::string::npos) << "\"" << part << "\" not in: " << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

// A Log that writes to memory.
class MemoryLog {
 public:
  MemoryLog() : stream_(::open_memstream(&text_, &size_)), log_(stream_) {}
  ~MemoryLog() {
    std::fclose(stream_);
    std::free(text_);
  }
  MemoryLog(const MemoryLog&) = delete;
  MemoryLog& operator=(const MemoryLog&) = delete;
  Log& log() { return log_; }
  std::string text() {
    std::fflush(stream_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* stream_;
  Log log_;
};

}  // namespace kiln::test
