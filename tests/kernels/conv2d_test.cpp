#include "kernels/include/conv2d.h"

#include <gtest/gtest.h>

#include "tests/kernels/conv2d_cases.h"
#include "tests/reference/conv2d.h"
#include "tests/support/compare.h"

namespace kiln::test {
namespace {

double tolerance(DType dtype) { return stored_tolerance(dtype, 2e-6, 1e-14); }

struct Inputs {
  Inputs(const Conv2dShape& s, DType dtype)
      : x(random_tensor(s.input(), dtype, 1)),
        w(random_tensor(s.weights(), dtype, 2)),
        bias(random_tensor({s.k}, parameter_type(dtype), 3)) {}
  OwnedTensor x, w, bias;
};

class Conv2dTest : public testing::TestWithParam<Conv2dShape> {};

TEST_P(Conv2dTest, EqualsTheOracle) {
  const Conv2dShape& s = GetParam();
  for (const DType dtype : storage_types()) {
    const Inputs in(s, dtype);
    for (const bool has_bias : {false, true}) {
      const Activation activation = has_bias ? Activation::relu : Activation::none;
      const Values bias = has_bias ? in.bias.values() : Values{};
      const Values wanted = reference::conv2d(s, in.x.values(), in.w.values(), bias, activation);
      for (const int threads : kThreadCounts) {
        if (is_16_bit(dtype) && threads > 1) continue;  // f32 shows that it changes nothing
        TestContext c(threads);
        const Scratch scratch(conv2d_scratch_bytes(c, s, dtype));
        const OwnedTensor y(s.output(), dtype);
        conv2d(c, {s, in.x, in.w, has_bias ? in.bias.view() : Tensor{}, y, activation,
                   scratch.data()});
        EXPECT_TRUE(close_to(y, wanted, tolerance(dtype))) << to_string(s) << ", " << threads;
        EXPECT_TRUE(scratch.guards_intact());
      }
    }
  }
}

TEST_P(Conv2dTest, BitsDependNeitherOnThreadsNorOnTheBatch) {
  const Conv2dShape& s = GetParam();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Inputs in(s, dtype);
    const auto run = [&](int threads, const Conv2dShape& shape, const Tensor& y) {
      TestContext c(threads);
      const Scratch scratch(conv2d_scratch_bytes(c, shape, dtype));
      const Tensor all = in.x.view();
      const Tensor x(all.raw(), shape.input(), dtype, all.device());
      conv2d(c, {shape, x, in.w, in.bias, y, Activation::none, scratch.data()});
    };
    const OwnedTensor one(s.output(), dtype), three(s.output(), dtype);
    run(1, s, one);
    run(3, s, three);
    EXPECT_TRUE(bitwise_equal(one, three));
    Conv2dShape single = s;
    single.n = 1;
    const OwnedTensor first(single.output(), dtype);
    run(2, single, first);
    const Tensor all = one.view();
    EXPECT_TRUE(bitwise_equal(first, Tensor(all.raw(), single.output(), dtype, all.device())));
  }
}

// The CPU's alone; EqualsTheOracle holds the plain call to the oracle.
TEST_P(Conv2dTest, PackedWeightsServeEveryCallWithTheSameBits) {
  if (!test_device().is_host()) GTEST_SKIP() << "weights are packed for the CPU only";
  const Conv2dShape& s = GetParam();
  const Inputs in(s, DType::f32);
  const OwnedTensor packed({conv2d_packed_count(s)}, DType::f32);
  conv2d_pack(s, in.w, packed);
  EXPECT_TRUE(packed.guards_intact());
  const OwnedTensor wanted(s.output(), DType::f32);
  TestContext plain(1);
  const Scratch plain_scratch(conv2d_scratch_bytes(plain, s, DType::f32));
  conv2d(plain, {s, in.x, in.w, in.bias, wanted, Activation::relu, plain_scratch.data()});
  for (const int threads : kThreadCounts) {
    TestContext c(threads);
    const Scratch scratch(conv2d_scratch_bytes(c, s, DType::f32, Filters::packed));
    const OwnedTensor y(s.output(), DType::f32);
    conv2d(c, {s, in.x, {}, in.bias, y, Activation::relu, scratch.data(), packed});
    EXPECT_TRUE(bitwise_equal(y, wanted)) << to_string(s) << ", " << threads;
    EXPECT_TRUE(scratch.guards_intact());
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Conv2dTest, testing::ValuesIn(conv2d_cases()));

TEST(Conv2d, ReluKeepsNan) {
  const Conv2dShape s{.n = 1, .h = 1, .w = 2, .c = 1, .k = 1, .r = 1, .s = 1};
  for (const DType dtype : storage_types()) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const OwnedTensor x(s.input(), dtype, {nan, -1}), w(s.weights(), dtype, {1});
    const OwnedTensor y(s.output(), dtype);
    TestContext c;
    const Scratch scratch(conv2d_scratch_bytes(c, s, dtype));
    conv2d(c, {s, x, w, {}, y, Activation::relu, scratch.data()});
    EXPECT_TRUE(std::isnan(y.at(0)));
    EXPECT_EQ(y.at(1), 0);
  }
}

TEST(Conv2d, RefusesWhatIsNoConvolution) {
  const Conv2dShape good{.n = 1, .h = 5, .w = 5, .c = 4, .k = 6, .r = 3, .s = 3};
  EXPECT_NO_THROW(check(good));
  const auto bad = [&](auto change) {
    Conv2dShape s = good;
    change(s);
    EXPECT_THROW(check(s), Error) << to_string(s);
  };
  bad([](Conv2dShape& s) { s.r = 6; });
  bad([](Conv2dShape& s) { s.dilation_w = 3; });
  bad([](Conv2dShape& s) { s.groups = 4; });
  bad([](Conv2dShape& s) { s.groups = 3; });
  bad([](Conv2dShape& s) { s.stride_h = 0; });
  bad([](Conv2dShape& s) { s.pad_w = -1; });
  bad([](Conv2dShape& s) { s.n = 0; });
}

TEST(Conv2d, RefusesTensorsThatDoNotFit) {
  const Conv2dShape s{.n = 1, .h = 5, .w = 5, .c = 4, .k = 6, .r = 3, .s = 3};
  const Inputs in(s, DType::f32);
  const OwnedTensor y(s.output(), DType::f32), y64(s.output(), DType::f64);
  EXPECT_NO_THROW(check(Conv2dArgs{s, in.x, in.w, in.bias, y}));
  EXPECT_THROW(check(Conv2dArgs{s, in.x, in.w, in.bias, in.x}), std::exception);
  EXPECT_THROW(check(Conv2dArgs{s, in.x, in.w, in.bias, y64}), std::exception);
  EXPECT_THROW(check(Conv2dArgs{s, in.x, in.w, in.w, y}), std::exception);
  EXPECT_THROW(check(Conv2dArgs{s, in.x, in.w, in.bias, {}}), std::exception);
}

TEST(Conv2d, RefusesPackedWeightsThatDoNotFit) {
  if (!test_device().is_host()) GTEST_SKIP() << "weights are packed for the CPU only";
  const Conv2dShape s{.n = 1, .h = 5, .w = 5, .c = 4, .k = 6, .r = 3, .s = 3};
  const Inputs in(s, DType::f32), in64(s, DType::f64);
  const std::int64_t count = conv2d_packed_count(s);
  const OwnedTensor y(s.output(), DType::f32), y64(s.output(), DType::f64);
  const OwnedTensor packed({count}, DType::f32), longer({count + 1}, DType::f32),
      packed64({count}, DType::f64);
  const auto args = [&](const Tensor& w, const Tensor& packed_w) {
    return Conv2dArgs{s, in.x, w, {}, y, Activation::none, nullptr, packed_w};
  };
  EXPECT_NO_THROW(check(args({}, packed)));
  EXPECT_THROW(check(args(in.w, packed)), std::logic_error) << "one of the two";
  EXPECT_THROW(check(args({}, {})), std::logic_error);
  EXPECT_THROW(check(args({}, longer)), std::logic_error);
  EXPECT_THROW(check(Conv2dArgs{s, in64.x, {}, {}, y64, Activation::none, nullptr, packed64}),
               std::logic_error);
  EXPECT_THROW(conv2d_pack(s, in.w, longer), std::logic_error);
  EXPECT_THROW(conv2d_pack(s, in.x, packed), std::logic_error);
  EXPECT_THROW(conv2d_pack(s, in64.w, packed), std::logic_error);
}

}  // namespace
}  // namespace kiln::test
