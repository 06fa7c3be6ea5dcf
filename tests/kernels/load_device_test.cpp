// Faults of the driver and of the plug-in, each with a stub in its place. The program is run with
// the stub driver on LD_LIBRARY_PATH; the stub plug-in lies beside it.
#include "kernels/include/load_device.h"

#include <cstdlib>
#include <gtest/gtest.h>

namespace kiln {
namespace {

class LoadDevice : public testing::Test {
 protected:
  ~LoadDevice() override {
    for (const char* name :
         {"KILN_STUB_INIT", "KILN_STUB_DEVICES", "KILN_STUB_VERSION", "KILN_STUB_PLUGIN"})
      unsetenv(name);
  }
  static std::string reason() {
    std::string why;
    EXPECT_FALSE(load_device(DeviceType::cuda, 0, why).has_value());
    EXPECT_EQ(why.find('\n'), why.npos) << why;
    return why;
  }
};

TEST_F(LoadDevice, ADriverWithoutADevice) {
  setenv("KILN_STUB_DEVICES", "0", 1);
  EXPECT_EQ(reason(), "the NVIDIA driver reports no device");
  setenv("KILN_STUB_INIT", "100", 1);  // what a real driver says
  EXPECT_EQ(reason(), "the NVIDIA driver reports no device");
}

TEST_F(LoadDevice, ADriverThatDoesNotStart) {
  setenv("KILN_STUB_INIT", "803", 1);
  EXPECT_EQ(reason(),
            "the NVIDIA driver does not start (cuInit: 803): its library and its kernel module are "
            "of different versions; restart the machine");
  setenv("KILN_STUB_INIT", "804", 1);
  EXPECT_EQ(reason(),
            "the NVIDIA driver does not start (cuInit: 804): it is too old for the CUDA "
            "compatibility package that is installed; update the driver");
  setenv("KILN_STUB_INIT", "999", 1);
  EXPECT_EQ(reason(),
            "the NVIDIA driver does not start (cuInit: 999); see whether nvidia-smi works");
}

TEST_F(LoadDevice, ADriverThatIsTooOld) {
  setenv("KILN_STUB_VERSION", "12040", 1);
  EXPECT_EQ(reason(),
            "the NVIDIA driver has 1 device, but this build of kiln can use none: the driver is "
            "for CUDA 12.4, probably too old; update it");
}

TEST_F(LoadDevice, APluginOfAnotherBuild) {
  setenv("KILN_STUB_PLUGIN", "foreign", 1);
  EXPECT_NE(reason().find("libkiln_cuda.so belongs to another build of kiln"), std::string::npos);
}

}  // namespace
}  // namespace kiln
