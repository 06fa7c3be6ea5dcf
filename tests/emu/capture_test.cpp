// Capture of graphs on the emulated device: what a sound capture does, and faults that it must see.
#include <cmath>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/gpu.h"
#include "tests/emu/device_array.h"

namespace kiln {
namespace {

using cuda::launch;
using cuda::Threads;

struct Capture : testing::Test {
  ~Capture() override { cuda::abandon_capture(0); }

  __global__ static void add(float* x, float what) { *x += what; }
  void queue_add(float what) {
    launch<Threads::independent>(context, "add", &Capture::add, {}, x.data(), what);
  }

  // Captures `work` between two sound kernels and says what was refused, empty if nothing.
  template <class F>
  std::string refusal(const F& work) {
    cuda::begin_capture(0);
    try {
      queue_add(1.0f);
      work();
      queue_add(1.0f);
      cuda::release_graph(0, cuda::end_capture(0));
    } catch (const std::logic_error& error) {
      cuda::abandon_capture(0);
      return error.what();
    }
    return {};
  }

  Log log{stderr, LogLevel::quiet};
  ThreadPool pool{1};
  Context context{Device{}, pool, log};
  DeviceArray<float> x{{1.0f}};
};

TEST_F(Capture, NothingRunsUntilTheLaunchAndArgumentsAreThoseOfTheCapture) {
  cuda::begin_capture(0);
  {
    float what = 2.0f;
    queue_add(what);
    what = 100.0f;
    queue_add(0.5f);
  }
  void* graph = cuda::end_capture(0);
  EXPECT_EQ(x.fetch()[0], 1.0f);
  for (int i = 1; i <= 3; ++i) {
    cuda::launch_graph(0, graph);
    EXPECT_EQ(x.fetch()[0], 1.0f + 2.5f * static_cast<float>(i));
  }
  cuda::release_graph(0, graph);
}

TEST_F(Capture, WhatTheHostWouldWaitForIsRefusedByName) {
  float value = 0;
  void* const spare = cuda::allocate(0, 64);
  void* const event = cuda::make_event(0);
  EXPECT_EQ(refusal([] {}), "");
  const auto expect = [&](const char* name, const auto& work) {
    EXPECT_NE(refusal(work).find(std::string(name) + " while a graph is captured"),
              std::string::npos)
        << name;
    EXPECT_EQ(refusal([] {}), "") << "the next capture is sound";
  };
  expect("copy_to_host", [&] { cuda::copy_to_host(0, &value, x.data(), 4); });
  expect("copy_to_device", [&] { cuda::copy_to_device(0, x.data(), &value, 4); });
  expect("fill", [&] { cuda::fill(0, x.data(), 0, 4); });
  expect("synchronise", [] { cuda::synchronise(0); });
  expect("allocate", [] { cuda::allocate(0, 64); });
  expect("release", [&] { cuda::release(0, spare); });  // cannot throw: the end of the capture does
  expect("wait_event", [&] { cuda::wait_event(0, event); });
  expect("begin_capture", [] { cuda::begin_capture(0); });
  cuda::release_event(0, event);
}

TEST_F(Capture, QueuedCopiesComeAtTheEventAndNotBefore) {
  auto* const pinned = static_cast<float*>(cuda::allocate_pinned(0, sizeof(float)));
  void* const event = cuda::make_event(0);
  cuda::queue_copy_to_host(0, pinned, x.data(), sizeof(float));
  cuda::record_event(0, event);
  queue_add(1.0f);  // behind the copy
  EXPECT_TRUE(std::isnan(*pinned)) << "read before the event was done";
  EXPECT_FALSE(cuda::event_done(0, event));
  EXPECT_TRUE(std::isnan(*pinned));
  EXPECT_TRUE(cuda::event_done(0, event));
  EXPECT_EQ(*pinned, 1.0f);
  cuda::queue_copy_to_host(0, pinned, x.data(), sizeof(float));
  cuda::record_event(0, event);
  cuda::wait_event(0, event);
  EXPECT_EQ(*pinned, 2.0f);
  cuda::release_event(0, event);
  cuda::release_pinned(0, pinned);
}

// A copy inside a graph takes the bytes of each launch.
TEST_F(Capture, ACopyIsPartOfTheGraph) {
  auto* const pinned = static_cast<float*>(cuda::allocate_pinned(0, sizeof(float)));
  cuda::begin_capture(0);
  queue_add(1.0f);
  cuda::queue_copy_to_host(0, pinned, x.data(), sizeof(float));
  void* const graph = cuda::end_capture(0);
  for (const float wanted : {2.0f, 3.0f}) {
    cuda::launch_graph(0, graph);
    cuda::synchronise(0);
    EXPECT_EQ(*pinned, wanted);
  }
  cuda::release_graph(0, graph);
  cuda::release_pinned(0, pinned);
}

}  // namespace
}  // namespace kiln
