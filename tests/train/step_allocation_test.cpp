// A training step and an evaluation step touch the heap not once.
#include <atomic>
#include <cstdlib>
#include <gtest/gtest.h>
#include <new>

#include "engine/train/optimizer.h"
#include "engine/train/train_pass.h"
#include "models/zoo.h"
#include "tests/train/fixture.h"

namespace {

// Counts every operator new of this process; the only way to see allocations of library code too.
std::atomic<long>& allocation_count() {
  static std::atomic<long> count{0};
  return count;
}

void* counted(std::size_t size, std::size_t alignment) {
  allocation_count().fetch_add(1, std::memory_order_relaxed);
  void* p = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (p == nullptr) std::abort();  // a test of a few megabytes has nothing to recover
  return p;
}

}  // namespace

void* operator new(std::size_t size) { return counted(size, 16); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size, 16); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace kiln {
namespace {

TEST(StepAllocation, TheCounterCounts) {
  const long before = allocation_count();
  delete new int(3);
  EXPECT_EQ(allocation_count() - before, 1);
}

class StepAllocation : public testing::TestWithParam<const char*> {};

TEST_P(StepAllocation, AStepAllocatesNothing) {
  const ModelSpec spec = find_model(GetParam(), 10);
  test::Workbench bench(2);
  ParameterStore parameters(spec, DType::f32, Device{});
  parameters.initialise(1);
  TrainPass pass(spec, parameters, bench.context, bench.providers, {.batch_size = 4});
  Optimizer optimizer({.momentum = 0.9}, parameters);
  const test::RandomBatch data(spec, 4, 1);
  const auto step = [&] {
    pass.run(bench.context, data.images, data.labels, {});
    optimizer.step(bench.context, 0.01);
  };
  step();  // what a library sets up on its first call is not the step's
  const long before = allocation_count();
  step();
  EXPECT_EQ(allocation_count() - before, 0);
}

INSTANTIATE_TEST_SUITE_P(Networks, StepAllocation, testing::Values("lenet", "mnist", "resnet18"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace kiln
