// Whole training steps on another device against the CPU: KILN_TEST_DEVICE=emu or cuda.
#include <gtest/gtest.h>

#include "engine/core/memory.h"
#include "engine/core/planned_buffer.h"
#include "engine/core/transfer.h"
#include "engine/train/model_io.h"
#include "engine/train/network.h"
#include "engine/train/optimizer.h"
#include "models/zoo.h"
#include "tests/golden/golden.h"
#include "tests/support/devices.h"
#include "tests/support/temp_folder.h"
#include "tests/train/fixture.h"
#include "tests/train/mini_resnet.h"
#include "tests/train/narrow_speedrun.h"

namespace kiln {
namespace {

using test::RandomBatch;
using test::test_device;

constexpr std::int64_t kBatch = 6;

// What a few steps left behind.
using Values = std::vector<double>;
struct Outcome {
  Values losses, values, gradients;
};

Values doubles_of(const Tensor& tensor) {
  return visit_float(tensor.dtype(), [&](auto zero) {
    const auto elements = elements_of<decltype(zero)>(tensor);
    return Values(elements.begin(), elements.end());
  });
}

struct Setting {
  Device device;
  DType dtype = DType::f32;
  ArenaOptions arena = {};
  int step_count = 3;
};

Outcome train(const ModelSpec& spec, const Setting& s) {
  Log log(stderr, LogLevel::quiet);
  ThreadPool pool(2);
  Context context(s.device, pool, log);
  Conv2dProviders providers = s.device.is_host()
                                  ? make_cpu_conv2d_providers(log, CpuConv2dChoice::own)
                                  : make_device_conv2d_providers(s.device, log);
  ParameterStore parameters(spec, s.dtype, s.device);
  parameters.initialise(3);
  Network network(spec, parameters, context, providers, {.batch_size = kBatch, .arena = s.arena});
  const bool grouped = spec.name == "speedrun94";
  const OptimizerOptions plain{.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3};
  Optimizer optimizer(grouped ? test::speedrun_optimizer(kBatch, 0) : plain, parameters);
  const std::vector<GroupStep> groups(optimizer.options().groups.size(), {0.01, true});
  Outcome run;
  for (int step = 0; step < s.step_count; ++step) {
    context.counter.step = static_cast<std::uint64_t>(step);
    const RandomBatch data(spec, kBatch, context.counter.step);
    network.set_input(context, data.images, data.labels, {});
    run.losses.push_back(test::forward_loss(network, context));
    network.backward(context);
    optimizer.step(context, 0.01, {}, groups);
  }
  run.values = doubles_of(parameters.flat_values());
  run.gradients = doubles_of(parameters.flat_gradients());
  return run;
}

class DeviceNetwork : public testing::TestWithParam<std::string> {
 protected:
  ModelSpec spec() const {
    if (GetParam() == "mini_resnet") return test::mini_resnet(8);
    if (GetParam() == "speedrun") return test::narrow_speedrun(16);
    return find_model(GetParam(), 10);
  }
  static void expect_close(const Outcome& got, const Outcome& wanted, double bar) {
    EXPECT_LE(golden::relative_error(got.losses, wanted.losses), bar);
    EXPECT_LE(golden::relative_error(got.values, wanted.values), bar);
    EXPECT_LE(golden::relative_error(got.gradients, wanted.gradients), bar);
  }
};

// Sums run in other orders on the two devices; three steps carry the difference on.
TEST_P(DeviceNetwork, TrainsLikeTheCpu) {
  for (const auto& [dtype, bar] : {std::pair{DType::f64, 1e-11}, std::pair{DType::f32, 2e-5}}) {
    SCOPED_TRACE(name_of(dtype));
    expect_close(train(spec(), {.device = test_device(), .dtype = dtype}),
                 train(spec(), {.device = Device{}, .dtype = dtype}), bar);
  }
}

TEST_P(DeviceNetwork, ForgottenMemoryAndGuardsChangeNothing) {
  const Outcome packed = train(spec(), {.device = test_device()});
  const Outcome guarded = train(
      spec(), {.device = test_device(), .arena = {.share = false, .poison = true, .guards = true}});
  EXPECT_EQ(packed.losses, guarded.losses);
  EXPECT_EQ(packed.values, guarded.values);
  EXPECT_EQ(packed.gradients, guarded.gradients);
}

INSTANTIATE_TEST_SUITE_P(Networks, DeviceNetwork,
                         testing::Values("lenet", "mnist", "mini_resnet", "speedrun"),
                         [](const auto& name) { return name.param; });

// Out of memory: one line that says who wanted how much, and what to do.
TEST(DeviceMemory, OfWhichThereIsNotEnoughNamesItsPlanner) {
  constexpr std::size_t kTooMuch = std::size_t{1} << 60;
  const auto line_of = [](const auto& allocate) -> std::string {
    try {
      allocate();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      return error.what();
    }
    return "nothing failed";
  };
  const std::string arena = line_of([] {
    MemoryPlan plan;
    plan.arena_bytes = kTooMuch;
    const Memory memory(std::move(plan), test::test_device());
  });
  EXPECT_EQ(arena.rfind("arena of activations and their gradients, 1073741824.0 GiB", 0), 0U)
      << arena;
  EXPECT_NE(arena.find(to_string(test::test_device())), arena.npos) << arena;
  EXPECT_NE(arena.find("use a smaller batch or network"), arena.npos) << arena;
  EXPECT_EQ(arena.find('\n'), arena.npos) << arena;
  const std::string state =
      line_of([] { planned_buffer("optimizer's exp_avg", test::test_device(), kTooMuch); });
  EXPECT_EQ(state.rfind("optimizer's exp_avg, ", 0), 0U) << state;
}

class DeviceModel : public TempFolderTest {};

// Weights lie alike in the files of every device.
TEST_F(DeviceModel, FilesAreThoseOfTheCpu) {
  for (const Device device : {Device{}, test_device()}) {
    ParameterStore parameters(lenet(), DType::f32, device);
    parameters.initialise(5);
    TensorBundle bundle;
    bundle.add_all(parameters);
    write_safetensors(folder() / (device.is_host() ? "cpu" : "device"), bundle.entries(), {});
  }
  const SafetensorsFile one(folder() / "cpu"), other(folder() / "device");
  ASSERT_EQ(one.entries().size(), other.entries().size());
  for (const SafetensorsEntry& entry : one.entries()) {
    const SafetensorsEntry* same = other.find(entry.name);
    ASSERT_NE(same, nullptr) << entry.name;
    EXPECT_TRUE(std::ranges::equal(entry.bytes, same->bytes)) << entry.name;
  }
}

}  // namespace
}  // namespace kiln
