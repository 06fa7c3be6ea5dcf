// A test of programs: a folder of its own, models and data to run them on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/report/png.h"
#include "engine/train/model_io.h"
#include "tests/apps/process.h"
#include "tests/support/temp_folder.h"

namespace kiln::test {

class AppTest : public TempFolderTest {
 protected:
  std::string path(const std::string& name) const { return (folder() / name).string(); }

  // A network with random weights as a model directory; returns its path.
  std::string save_random_model(const ModelSpec& spec, std::uint64_t seed = 1) const;
  // A picture of random colours in a PNG file; returns its path.
  std::string save_picture(const std::string& name, int height, int width, int channels,
                           std::uint32_t seed) const;
  // CIFAR-10 in its binary layout, written byte by byte: `count` pictures per batch file.
  std::string save_cifar(int count) const;

  void write(const std::string& name, const std::string& text) const {
    make_directories((folder() / name).parent_path());
    write_file_atomic(folder() / name, text);
  }
};

// Exit code, and one line on stderr that holds all of `parts`; nothing on stdout.
testing::AssertionResult refused(const ProcessResult& result, int code,
                                 const std::vector<std::string>& parts);

// Random bytes that depend on the seed alone.
std::vector<std::uint8_t> random_bytes(std::size_t count, std::uint32_t seed);

}  // namespace kiln::test
