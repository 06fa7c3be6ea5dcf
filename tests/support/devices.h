// The devices and contexts that an op is tested on.
#pragma once

#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/device.h"

namespace kiln::test {

// Exit code of a test program that could test nothing; CTest counts it as skipped.
inline constexpr int kSkipExitCode = 77;

inline std::vector<Device> all_devices() {
  return {Device{DeviceType::cpu, 0}, Device{DeviceType::cuda, 0}};
}
// Whether this build has kernels for the device and this machine has the device.
inline bool device_present(Device device) { return device.type == DeviceType::cpu; }

// KILN_REQUIRE_DEVICES="cuda": a missing device of that name fails instead of being skipped.
inline bool device_required(Device device) {
  const char* required = std::getenv("KILN_REQUIRE_DEVICES");
  const std::string name = device.type == DeviceType::cpu ? "cpu" : "cuda";
  return required != nullptr && std::string(required).find(name) != std::string::npos;
}

// Thread counts that every op runs under; 3 divides nothing.
inline constexpr int kThreadCounts[] = {1, 2, 3};

// A context with its threads and a silent log.
class TestContext {
 public:
  explicit TestContext(int thread_count = 1, bool deterministic = false)
      : pool_(thread_count), context_(Device{}, pool_, log_, deterministic) {}

  operator Context&() { return context_; }  // NOLINT(google-explicit-constructor)
  Context& get() { return context_; }

 private:
  Log log_{stderr, LogLevel::quiet};
  ThreadPool pool_;
  Context context_;
};

}  // namespace kiln::test

// Leaves the test, as skipped or failed, where the device is not there.
#define KILN_NEED_DEVICE(device)                                                      \
  do {                                                                                \
    if (!::kiln::test::device_present(device)) {                                      \
      if (::kiln::test::device_required(device))                                      \
        FAIL() << "device " << ::kiln::to_string(device) << " is required, not here"; \
      GTEST_SKIP() << "device " << ::kiln::to_string(device) << " is not here";       \
    }                                                                                 \
  } while (false)
