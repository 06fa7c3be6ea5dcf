// The devices and contexts that an op is tested on.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>

#include "engine/core/context.h"
#include "engine/core/device.h"
#include "kernels/include/load_device.h"

namespace kiln::test {

// Exit code of a test program that could test nothing; CTest counts it as skipped.
inline constexpr int kSkipExitCode = 77;

// The device that ops are tested on: the CPU, or what KILN_TEST_DEVICE names (emu, cuda). Leaves
// the program as skipped, or as failed where KILN_REQUIRE_DEVICES names the device, when it is not
// there.
inline Device test_device() {
  static const Device device = [] {
    const char* wanted = std::getenv("KILN_TEST_DEVICE");
    if (wanted == nullptr || std::string(wanted) == "cpu") return Device{};
    const DeviceType type = std::string(wanted) == "emu" ? DeviceType::emu : DeviceType::cuda;
    std::string why;
    const auto found = load_device(type, 0, why);
    if (found) return *found;
    const char* required = std::getenv("KILN_REQUIRE_DEVICES");
    const bool fails =
        required != nullptr && std::string(required).find(wanted) != std::string::npos;
    std::printf("%s: no device %s (%s)\n", fails ? "FAILED" : "SKIPPED", wanted, why.c_str());
    std::exit(fails ? 1 : kSkipExitCode);
  }();
  return device;
}

// Thread counts that every op runs under; 3 divides nothing.
inline constexpr int kThreadCounts[] = {1, 2, 3};

// A context with its threads and a silent log.
class TestContext {
 public:
  explicit TestContext(int thread_count = 1, bool deterministic = false)
      : pool_(thread_count), context_(test_device(), pool_, log_, deterministic) {}

  operator Context&() { return context_; }  // NOLINT(google-explicit-constructor)
  Context& get() { return context_; }

 private:
  Log log_{stderr, LogLevel::quiet};
  ThreadPool pool_;
  Context context_;
};

}  // namespace kiln::test

// Leaves a test that is about something which only the CPU has: instruction sets, threads, what a
// library does.
#define KILN_CPU_ONLY(why)                                                                        \
  do {                                                                                            \
    if (!::kiln::test::test_device().is_host()) GTEST_SKIP() << "not for this device: " << (why); \
  } while (false)
