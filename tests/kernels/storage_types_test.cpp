// What all ops share about the 16-bit types: where they are refused, and packs beside their tails.
#include <gtest/gtest.h>

#include "kernels/include/adam_step.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/linear.h"
#include "kernels/include/relu.h"
#include "kernels/include/sgd_step.h"
#include "tests/reference/relu.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

template <class Run>
std::string refusal(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    return error.what();
  }
  return "nothing was refused";
}

TEST(StorageTypes, TheCpuRefusesSixteenBitsByOpAndType) {
  KILN_CPU_ONLY("devices take them");
  TestContext c;
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const std::string type(name_of(dtype));
    const OwnedTensor x({2, 2}, dtype), y({2, 2}, dtype);
    std::string line = refusal([&] { relu(c, {.x = x, .y = y}); });
    EXPECT_NE(line.find("relu: tensor x has type " + type), line.npos) << line;
    line = refusal([&] { linear(c, {.x = x, .w = x, .bias = {}, .y = y}); });
    EXPECT_NE(line.find("linear of " + type), line.npos) << line;
    const Conv2dShape s{.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1};
    const OwnedTensor pixel(s.input(), dtype);
    line = refusal([&] { conv2d(c, {s, pixel, pixel, {}, pixel}); });
    EXPECT_NE(line.find("conv2d of " + type), line.npos) << line;
  }
}

TEST(StorageTypes, OptimizersKeepTheirWeightsWide) {
  TestContext c;
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const OwnedTensor w({4}, dtype);
    EXPECT_THROW(sgd_step(c, {.w = w, .grad = w, .momentum_buffer = {}}), Error);
    EXPECT_THROW(adam_step(c, {.w = w, .grad = w, .exp_avg = w, .exp_avg_sq = w}), Error);
  }
}

// Views that begin 0 to 8 elements into a tensor: with whole packs, without any, and with every
// length of tail. Neighbours must keep their values.
TEST(StorageTypes, PacksAndTailsMeetEverywhere) {
  TestContext c;
  std::vector<DType> types{DType::f32, DType::f64};
  if (!test_device().is_host()) types.insert(types.end(), {DType::f16, DType::bf16});
  for (const DType dtype : types)
    for (const std::int64_t first : {0, 1, 4, 8})
      for (const std::int64_t count : {1, 7, 8, 9, 15, 16, 33}) {
        const OwnedTensor x = random_tensor({48}, dtype, 1), y = random_tensor({48}, dtype, 2);
        const auto part = [&](const OwnedTensor& all) {
          const Tensor view = all.view();
          auto* bytes = static_cast<std::byte*>(view.raw());
          bytes += static_cast<std::size_t>(first) * size_of(dtype);
          return Tensor(bytes, {count}, dtype, view.device());
        };
        Values wanted = y.values();
        const Values open = reference::relu(x.values());
        for (std::int64_t i = first; i < first + count; ++i)
          wanted[static_cast<std::size_t>(i)] = open[static_cast<std::size_t>(i)];
        relu(c, {.x = part(x), .y = part(y)});
        EXPECT_TRUE(elementwise_close_to(y, wanted, 0))
            << name_of(dtype) << ", " << count << " from " << first;
      }
}

// The bounds of the 16-bit tests must not let a second rounding pass.
TEST(StorageTypes, TheBoundSeesOneUnitInTheLastPlace) {
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const double unit = 2 * rounding_error(dtype);
    const OwnedTensor exact({2}, dtype, Device{}, {1, 1.5}),
        off({2}, dtype, Device{}, {1 + unit, 1.5});
    EXPECT_TRUE(elementwise_close_to(exact, {1, 1.5}, rounding_error(dtype)));
    EXPECT_FALSE(elementwise_close_to(off, {1, 1.5}, rounding_error(dtype) + 1e-6));
  }
}

}  // namespace
}  // namespace kiln::test
