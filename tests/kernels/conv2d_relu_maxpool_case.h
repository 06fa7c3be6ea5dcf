// One problem of conv2d_relu_maxpool with its tensors, for the tests of the op and of its gradient.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "kernels/include/conv2d_relu_maxpool.h"
#include "kernels/include/conv2d_relu_maxpool_grad.h"
#include "tests/reference/conv2d_relu_maxpool.h"
#include "tests/support/compare.h"
#include "tests/support/devices.h"
#include "tests/support/random_tensor.h"

namespace kiln::test {

// LeNet, the MNIST networks, both ways into vector lanes with whole and partial blocks, every
// filter width, odd extents, every border.
inline std::vector<Conv2dShape> conv2d_relu_maxpool_shapes() {
  return {
      {.n = 3, .h = 32, .w = 32, .c = 3, .k = 6, .r = 5, .s = 5},
      {.n = 5, .h = 14, .w = 14, .c = 6, .k = 16, .r = 5, .s = 5},
      {.n = 2, .h = 28, .w = 28, .c = 1, .k = 10, .r = 5, .s = 5},
      {.n = 2, .h = 12, .w = 12, .c = 10, .k = 20, .r = 5, .s = 5},
      {.n = 2, .h = 26, .w = 26, .c = 8, .k = 32, .r = 3, .s = 3},
      {.n = 2, .h = 32, .w = 32, .c = 3, .k = 6, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
      {.n = 2, .h = 33, .w = 71, .c = 3, .k = 7, .r = 5, .s = 5, .pad_h = 2, .pad_w = 2},
      {.n = 1, .h = 9, .w = 40, .c = 1, .k = 20, .r = 3, .s = 3, .pad_h = 2, .pad_w = 1},
      {.n = 4, .h = 7, .w = 9, .c = 3, .k = 16, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
      {.n = 2, .h = 11, .w = 9, .c = 5, .k = 3, .r = 7, .s = 7, .pad_h = 3, .pad_w = 2},
      {.n = 2, .h = 6, .w = 21, .c = 2, .k = 5, .r = 2, .s = 4},
      {.n = 3, .h = 3, .w = 2, .c = 4, .k = 1, .r = 1, .s = 1},
      {.n = 1, .h = 8, .w = 8, .c = 25, .k = 64, .r = 5, .s = 5},
      {.n = 1, .h = 5, .w = 6, .c = 128, .k = 2, .r = 3, .s = 1},
  };
}

struct Conv2dReluMaxpoolCase {
  Conv2dShape shape;
  Pool2dShape pool;
  OwnedTensor x, w, bias, y, index, dy, dx, dw, dbias;

  explicit Conv2dReluMaxpoolCase(const Conv2dShape& s, DType dtype = DType::f32)
      : shape(s),
        pool{.n = s.n, .h = s.p(), .w = s.q(), .c = s.k},
        x(random_tensor(s.input(), dtype, 11)),
        w(random_tensor(s.weights(), dtype, 12)),
        bias(random_tensor({s.k}, dtype, 13)),
        y(pool.output(), dtype),
        index(pool.output(), DType::u8),
        dy(random_tensor(pool.output(), dtype, 14)),
        dx(s.input(), dtype),
        dw(s.weights(), dtype),
        dbias({s.k}, dtype) {}

  DType dtype() const { return x.dtype(); }

  // The caller may change the arguments; memory beside the scratch is checked.
  template <class Change>
  void forward(Context& context, const Change& change, Filters filters = Filters::plain) {
    OwnedTensor scratch =
        make_scratch(conv2d_relu_maxpool_scratch_bytes(context, shape, pool, dtype(), filters));
    Conv2dReluMaxpoolArgs args{shape, pool, x, w, bias, y, index, bytes_of(scratch)};
    change(args);
    conv2d_relu_maxpool(context, args);
    EXPECT_TRUE(scratch.guards_intact() && index.guards_intact()) << to_string(shape);
  }
  void forward(Context& context) {
    forward(context, [](auto&) {});
  }

  template <class Change>
  void backward(Context& context, const Change& change) {
    OwnedTensor scratch =
        make_scratch(conv2d_relu_maxpool_grad_scratch_bytes(context, shape, pool, dtype()));
    Conv2dReluMaxpoolGradArgs args{.shape = shape,
                                   .pool = pool,
                                   .x = x,
                                   .w = w,
                                   .y = y,
                                   .index = index,
                                   .dy = dy,
                                   .dx = dx,
                                   .dw = dw,
                                   .dbias = dbias,
                                   .scratch = bytes_of(scratch)};
    change(args);
    conv2d_relu_maxpool_grad(context, args);
    EXPECT_TRUE(scratch.guards_intact()) << to_string(shape);
  }
  void backward(Context& context) {
    backward(context, [](auto&) {});
  }

  // The oracle on these very numbers.
  reference::Conv2dReluMaxpoolForward expected() const {
    const Values a = x.values(), b = w.values(), c = bias.values();
    return reference::conv2d_relu_maxpool<double>(shape, pool, a, b, c);
  }
  reference::Conv2dReluMaxpoolGradients expected_gradients() const {
    const Values a = x.values(), b = w.values(), c = y.values(), d = dy.values();
    return reference::conv2d_relu_maxpool_grad<double>(shape, pool, a, b, c,
                                                       index.host<const std::uint8_t>(), d);
  }

 private:
  // All bits set: NaN to whoever reads before writing.
  static OwnedTensor make_scratch(std::size_t size_bytes) {
    OwnedTensor scratch({static_cast<std::int64_t>(size_bytes)}, DType::u8);
    std::ranges::fill(scratch.host<std::uint8_t>(), 0xFF);
    return scratch;
  }
  static std::byte* bytes_of(const OwnedTensor& scratch) {
    return static_cast<std::byte*>(scratch.view().raw());
  }
};

}  // namespace kiln::test
