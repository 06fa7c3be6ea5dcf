// Linked into programs whose tests are about devices beside the CPU: started without one they say
// so and leave as skipped.
#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>

#include "tests/support/devices.h"

namespace kiln::test {
namespace {

class DeviceOnly : public testing::Environment {
  void SetUp() override {
    if (!test_device().is_host()) return;
    std::printf("SKIPPED: nothing here is about the CPU; set KILN_TEST_DEVICE=emu or cuda\n");
    std::exit(kSkipExitCode);
  }
};

// GoogleTest owns it.
const testing::Environment* const kRegistered = testing::AddGlobalTestEnvironment(new DeviceOnly);

}  // namespace
}  // namespace kiln::test
