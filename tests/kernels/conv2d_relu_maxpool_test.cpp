#include <gtest/gtest.h>

#include "tests/kernels/conv2d_relu_maxpool_case.h"

namespace kiln::test {
namespace {

using Case = Conv2dReluMaxpoolCase;

// A sum of m products in f32 is off by about sqrt(m) 6e-8 of its terms; m is at most 625 here.
constexpr double kTolerance = 3e-6;

// The place that was chosen holds the oracle's maximum, up to rounding, wherever the window lives.
void expect_index_points_at_maximum(const Case& c,
                                    const reference::Conv2dReluMaxpoolForward& want) {
  const double unit = largest_magnitude(want.z);
  reference::for_each_window(
      c.pool, [&](std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t k, std::int64_t at) {
        const auto place = static_cast<std::int64_t>(c.index.at(at));
        ASSERT_LE(place, 3) << at;
        if (want.y[at] == 0) return;
        const std::int64_t h = 2 * p + place / 2, v = 2 * q + place % 2;
        const double z = want.z[((n * c.shape.p() + h) * c.shape.q() + v) * c.shape.k + k];
        ASSERT_NEAR(z, want.y[at], kTolerance * unit) << at;
      });
}

TEST(Conv2dReluMaxpool, IsTheOraclesForEveryShape) {
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    for (const int threads : kThreadCounts) {
      TestContext context(threads);
      Case c(shape);
      const auto want = c.expected();
      c.forward(context);
      EXPECT_TRUE(close_to(c.y, want.y, kTolerance));
      expect_index_points_at_maximum(c, want);
    }
  }
}

TEST(Conv2dReluMaxpool, IsExactInDouble) {
  TestContext context(2);
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    Case c(shape, DType::f64);
    const auto want = c.expected();
    c.forward(context);
    EXPECT_TRUE(close_to(c.y, want.y, 1e-14));
    expect_index_points_at_maximum(c, want);
  }
}

TEST(Conv2dReluMaxpool, NeedsNeitherBiasNorIndex) {
  TestContext context(1);
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    Case c(shape);
    c.bias.assign(Values(static_cast<std::size_t>(shape.k), 0.0));
    const auto want = c.expected();
    c.forward(context, [](auto& args) { args.bias = args.index = Tensor(); });
    EXPECT_TRUE(close_to(c.y, want.y, kTolerance));
    EXPECT_EQ(c.index.values(), OwnedTensor(c.pool.output(), DType::u8).values()) << "not touched";
  }
}

// The bits of an image depend on nothing beside it: neither the batch nor the threads.
TEST(Conv2dReluMaxpool, ImagesAreIndependent) {
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    TestContext one(1), three(3);
    Case a(shape), b(shape);
    a.forward(one);
    b.forward(three);
    EXPECT_TRUE(bitwise_equal(a.y, b.y));
    EXPECT_TRUE(bitwise_equal(a.index, b.index));
    Conv2dShape single = shape;
    single.n = 1;
    Case first(single);
    for (std::int64_t i = 0; i < first.x.element_count(); ++i) first.x.set(i, a.x.at(i));
    first.forward(one);
    for (std::int64_t i = 0; i < first.y.element_count(); ++i)
      ASSERT_EQ(first.y.at(i), a.y.at(i)) << i;
  }
}

// Packed once for one image, read by calls for several; the plain call is held to the oracle above.
TEST(Conv2dReluMaxpool, PackedFiltersServeEveryCallWithTheSameBits) {
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes())
    for (const bool has_bias : {false, true}) {
      SCOPED_TRACE(to_string(shape));
      Case plain(shape), packed(shape);
      Conv2dShape single = shape;
      single.n = 1;
      const Case one(single);
      const OwnedTensor filters({conv2d_relu_maxpool_packed_count(single, one.pool)}, DType::f32);
      const Tensor bias = has_bias ? plain.bias.view() : Tensor();
      conv2d_relu_maxpool_pack(single, one.pool, plain.w, bias, filters);
      EXPECT_TRUE(filters.guards_intact());
      TestContext context(1);
      plain.forward(context, [&](auto& args) { args.bias = bias; });
      for (const int threads : kThreadCounts) {
        TestContext c(threads);
        const auto give_packed = [&](auto& args) {
          args.w = args.bias = Tensor();
          args.packed = filters;
        };
        packed.forward(c, give_packed, Filters::packed);
        EXPECT_TRUE(bitwise_equal(packed.y, plain.y));
        EXPECT_TRUE(bitwise_equal(packed.index, plain.index));
      }
    }
}

TEST(Conv2dReluMaxpool, NanReachesEveryWindowThatSeesIt) {
  TestContext context(2);
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    Case c(shape);
    c.x.set(c.x.element_count() / 2, std::nan(""));
    const auto want = c.expected();
    c.forward(context);
    EXPECT_TRUE(close_to(c.y, want.y, kTolerance));
  }
}

// A 1x1 filter of weight 1 hands the picture on, so that ties can be laid out by hand.
TEST(Conv2dReluMaxpool, FirstOfEqualElementsWins) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t k : {1, 16}) {
      Case c({.n = 1, .h = 2, .w = 10, .c = 1, .k = k, .r = 1, .s = 1}, dtype);
      c.w.assign(Values(static_cast<std::size_t>(k), 1.0));
      c.bias.assign(Values(static_cast<std::size_t>(k), 0.0));
      c.x.assign({5, 5, 1, 5, 1, 1, 1, 1, 5, 1,    // top row of five windows
                  5, 5, 5, 5, 5, 5, 1, 5, 5, 1});  // bottom row
      TestContext context;
      c.forward(context);
      for (std::int64_t at = 0; at < 5 * k; ++at) {
        const double first[] = {0, 1, 2, 3, 0};
        EXPECT_EQ(c.index.at(at), first[at / k]) << at;
        EXPECT_EQ(c.y.at(at), 5);
      }
    }
  }
}

TEST(Conv2dReluMaxpool, DeadWindowsAreZero) {
  TestContext context;
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    Case c(shape);
    c.bias.assign(Values(static_cast<std::size_t>(shape.k), -1000.0));
    c.forward(context);
    EXPECT_EQ(c.y.values(), Values(c.y.values().size(), 0.0)) << to_string(shape);
  }
}

TEST(Conv2dReluMaxpool, SaysWhichShapesItTakes) {
  const Conv2dShape good{.n = 1, .h = 32, .w = 32, .c = 3, .k = 6, .r = 5, .s = 5};
  const auto taken = [](const Conv2dShape& s) {
    return conv2d_relu_maxpool_supported(s, {.n = s.n, .h = s.p(), .w = s.q(), .c = s.k});
  };
  const auto with = [&](auto member, std::int64_t value) {
    Conv2dShape shape = good;
    shape.*member = value;
    return shape;
  };
  using S = Conv2dShape;
  EXPECT_TRUE(taken(good));
  for (const auto member : {&S::stride_h, &S::stride_w, &S::dilation_h, &S::dilation_w})
    EXPECT_FALSE(taken(with(member, 2)));
  EXPECT_FALSE(taken(with(&S::groups, 3)));
  EXPECT_FALSE(taken(with(&S::k, 65)));
  EXPECT_FALSE(taken(with(&S::c, 26)));
  EXPECT_FALSE(taken(with(&S::r, 8)));
  EXPECT_FALSE(taken(with(&S::pad_w, 5)));
  EXPECT_FALSE(taken(with(&S::h, 5)));
  EXPECT_FALSE(taken(with(&S::n, 0)));
  EXPECT_FALSE(taken(with(&S::h, std::int64_t{1} << 62)));
  EXPECT_FALSE(conv2d_relu_maxpool_supported(
      good, {.n = 1, .h = 28, .w = 28, .c = 6, .r = 3, .s = 3, .stride_h = 2, .stride_w = 2}));
  EXPECT_FALSE(conv2d_relu_maxpool_supported(
      good, {.n = 1, .h = 28, .w = 28, .c = 6, .stride_h = 1, .stride_w = 1}));
}

TEST(Conv2dReluMaxpool, RefusesWhatDoesNotFit) {
  TestContext context;
  Case c({.n = 1, .h = 8, .w = 8, .c = 3, .k = 6, .r = 3, .s = 3});
  EXPECT_THROW(c.forward(context, [](auto& args) { args.shape.stride_h = 2; }), Error);
  EXPECT_THROW(c.forward(context, [](auto& args) { args.x = args.index; }), Error);
  EXPECT_THROW(c.forward(context, [](auto& args) { args.w = args.x; }), std::logic_error);
  EXPECT_THROW(c.forward(context, [](auto& args) { args.y = Tensor(); }), std::logic_error);
  EXPECT_THROW(c.forward(context, [](auto& args) { args.index = args.y; }), std::logic_error);
}

TEST(Conv2dReluMaxpool, RefusesPackedFiltersThatDoNotFit) {
  TestContext context;
  Case c({.n = 1, .h = 8, .w = 8, .c = 3, .k = 6, .r = 3, .s = 3});
  const std::int64_t count = conv2d_relu_maxpool_packed_count(c.shape, c.pool);
  const OwnedTensor packed({count}, DType::f32), longer({count + 1}, DType::f32);
  conv2d_relu_maxpool_pack(c.shape, c.pool, c.w, c.bias, packed);
  const auto forward = [&](const Tensor& w, const Tensor& bias, const Tensor& filters) {
    c.forward(context, [&](auto& args) {
      args.w = w;
      args.bias = bias;
      args.packed = filters;
    });
  };
  EXPECT_NO_THROW(forward({}, {}, packed));
  EXPECT_THROW(forward(c.w, {}, packed), std::logic_error) << "one of the two";
  EXPECT_THROW(forward({}, c.bias, packed), std::logic_error) << "one of the two";
  EXPECT_THROW(forward({}, {}, longer), std::logic_error);
  EXPECT_THROW(conv2d_relu_maxpool_pack(c.shape, c.pool, c.w, c.bias, longer), std::logic_error);
  EXPECT_THROW(conv2d_relu_maxpool_pack(c.shape, c.pool, c.bias, c.bias, packed), std::logic_error);
  EXPECT_THROW(conv2d_relu_maxpool_pack(c.shape, c.pool, c.w, c.w, packed), std::logic_error);
}

}  // namespace
}  // namespace kiln::test
