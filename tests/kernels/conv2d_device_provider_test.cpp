// Which provider computes a convolution on a device that is not the CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/include/conv2d_provider.h"
#include "kernels/include/load_device.h"

namespace kiln {
namespace {

class LogFile {
 public:
  LogFile() : file_(std::tmpfile()), log(file_) {}
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
  ~LogFile() { std::fclose(file_); }
  std::string text() const {
    std::string all(static_cast<std::size_t>(std::ftell(file_)), ' ');
    std::rewind(file_);
    all.resize(std::fread(all.data(), 1, all.size(), file_));
    return all;
  }

 private:
  std::FILE* file_;

 public:
  Log log;
};

const Conv2dProblem kProblem{.shape = {.n = 2, .h = 8, .w = 8, .c = 4, .k = 4, .r = 3, .s = 3}};

TEST(DeviceConv2dChoice, NamesAreRead) {
  EXPECT_EQ(parse_device_conv2d_choice("auto"), DeviceConv2dChoice::automatic);
  EXPECT_EQ(parse_device_conv2d_choice("own"), DeviceConv2dChoice::own);
  EXPECT_EQ(parse_device_conv2d_choice("cudnn"), DeviceConv2dChoice::cudnn);
  EXPECT_THROW(parse_device_conv2d_choice("onednn"), Error);
  EXPECT_THROW(parse_cpu_conv2d_choice("cudnn"), Error);
}

// The choice needs no device: these are plans, and nothing is run.
TEST(DeviceConv2dProviders, WithoutAGpuOwnKernelsTakeOverAndALineSaysSo) {
  LogFile file;
  Conv2dProviders providers = make_device_conv2d_providers({.type = DeviceType::emu}, file.log,
                                                           {.choice = DeviceConv2dChoice::cudnn});
  EXPECT_EQ(providers.forward(kProblem)->scratch_bytes(), 0u);
  EXPECT_NE(providers.backward(kProblem), nullptr);
  const std::string text = file.text();
  EXPECT_THAT(text, testing::HasSubstr("cuDNN is not used, own kernels are: emu:0 is no GPU"));
  EXPECT_THAT(text, testing::HasSubstr("forward: own, "));
}

TEST(DeviceConv2dProviders, OwnAsksNoLibrary) {
  LogFile file;
  for (const auto choice : {DeviceConv2dChoice::own, DeviceConv2dChoice::automatic})
    make_device_conv2d_providers({.type = DeviceType::emu}, file.log, {.choice = choice})
        .forward(kProblem);
  EXPECT_THAT(file.text(), testing::Not(testing::HasSubstr("cuDNN")));
}

// A program on a GPU machine without cuDNN, or with a driver that does not start, must still train.
TEST(DeviceConv2dProviders, AbsentLibraryOrDriverIsNoFailure) {
  std::string why;
  if (load_device(DeviceType::cuda, 0, why)) GTEST_SKIP() << "there is a GPU";
  LogFile file;
  Conv2dProviders providers = make_device_conv2d_providers({.type = DeviceType::cuda}, file.log);
  EXPECT_EQ(providers.forward(kProblem)->scratch_bytes(), 0u);
  EXPECT_THAT(file.text(), testing::HasSubstr("cuDNN is not used, own kernels are: "));
}

}  // namespace
}  // namespace kiln
