// What all ops share about the 16-bit types: where they are refused, and packs beside their tails.
#include <functional>
#include <gtest/gtest.h>
#include <string>

#include "kernels/include/adam_step.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/linear.h"
#include "kernels/include/maxpool.h"
#include "kernels/include/maxpool_grad.h"
#include "kernels/include/relu.h"
#include "kernels/include/sgd_step.h"
#include "tests/reference/maxpool.h"
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

TEST(StorageTypes, TheCpuRefusesF16ByOpAndType) {
  KILN_CPU_ONLY("devices take it");
  TestContext c;
  const OwnedTensor x({2, 2}, DType::f16), y({2, 2}, DType::f16);
  const Conv2dShape one{.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1};
  const OwnedTensor pixel(one.input(), DType::f16);
  const auto expect_refusal = [](const std::string& op, const std::function<void()>& call) {
    const std::string line = refusal(call);
    EXPECT_NE(line.find(op + ": tensor x has type f16"), line.npos) << line;
  };
  expect_refusal("relu", [&] { relu(c, {.x = x, .y = y}); });
  expect_refusal("linear", [&] { linear(c, {.x = x, .w = x, .bias = {}, .y = y}); });
  expect_refusal("conv2d", [&] { conv2d(c, {one, pixel, pixel, {}, pixel}); });
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
  for (const DType dtype : storage_types())
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

// `shape` inside a larger tensor, from element `first` on.
Tensor part_of(const OwnedTensor& all, const Shape& shape, std::int64_t first) {
  const Tensor view = all.view();
  auto* bytes = static_cast<std::byte*>(view.raw());
  bytes += static_cast<std::size_t>(first) * size_of(all.dtype());
  return Tensor(bytes, shape, all.dtype(), view.device());
}

// Pooling takes 16 bytes of channels at once where addresses allow it: eight channels of each type
// do. From element 1 on no pack fits; the bits must be those of the oracle all the same, and so the
// index, whose address alone may be odd.
TEST(StorageTypes, PoolingOfUnalignedViews) {
  TestContext c;
  const Pool2dShape s{.n = 2, .h = 5, .w = 7, .c = 8};
  const std::int64_t inputs = s.input().element_count(), outputs = s.output().element_count();
  std::vector<DType> types = types_of_16_bits();
  types.push_back(DType::f32);
  for (const DType dtype : types)
    for (const std::int64_t first : {0, 1})
      for (const std::int64_t index_first : {0, 3}) {
        SCOPED_TRACE(std::string(name_of(dtype)) + ", " + std::to_string(first));
        const OwnedTensor x = random_tensor({inputs + 1}, dtype, 1), y({outputs + 1}, dtype);
        const OwnedTensor index({outputs + 3}, DType::u8), dx({inputs + 1}, dtype);
        const Tensor indices = part_of(index, s.output(), index_first);
        maxpool(c, {.shape = s,
                    .x = part_of(x, s.input(), first),
                    .y = part_of(y, s.output(), first),
                    .index = indices});
        const auto cut = [](const Values& all, std::int64_t from, std::int64_t count) {
          return Values(all.begin() + from, all.begin() + from + count);
        };
        const auto wanted = reference::maxpool(s, cut(x.values(), first, inputs));
        EXPECT_EQ(cut(y.values(), first, outputs), wanted.y);
        EXPECT_EQ(cut(index.values(), index_first, outputs), wanted.index);
        // What lies beside the views is as it was.
        EXPECT_TRUE(std::isnan(y.at(first == 0 ? outputs : 0)));
        EXPECT_EQ(index.at(index_first == 0 ? outputs : 0), 0xA5);
        maxpool_grad(c, {.shape = s,
                         .index = part_of(index, s.output(), index_first),
                         .dy = part_of(y, s.output(), first),
                         .dx = part_of(dx, s.input(), first)});
        EXPECT_EQ(cut(dx.values(), first, inputs),
                  reference::maxpool_grad(s, wanted.index, wanted.y));
        EXPECT_TRUE(std::isnan(dx.at(first == 0 ? inputs : 0)));
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
