// conv2d, linear and their gradients against PyTorch's values (tests/golden).
#include <gtest/gtest.h>

#include "kernels/include/linear.h"
#include "kernels/include/linear_grad.h"
#include "tests/golden/golden.h"
#include "tests/kernels/conv2d_cases.h"
#include "tests/support/compare.h"

namespace kiln::test {
namespace {

using golden::GoldenArray;
using golden::GoldenCase;
using golden::GoldenFile;

// PyTorch's own f32 is up to 3e-7 from its f64 in these cases.
double tolerance(DType dtype) { return dtype == DType::f32 ? 1e-6 : 1e-13; }

OwnedTensor tensor_of(const GoldenArray& array, DType dtype) {
  return {array.shape, dtype, array.values};
}

class Golden {
 public:
  Golden(const GoldenFile& file, const GoldenCase& entry, DType dtype)
      : file_(file), name_(entry.name + "/"), dtype_(dtype) {}
  bool has(const std::string& tensor) const { return file_.contains(name_ + tensor); }
  // In kiln's layout.
  GoldenArray array(const std::string& tensor) const {
    return golden::to_channels_last(file_.at(name_ + tensor));
  }
  OwnedTensor tensor(const std::string& name) const { return tensor_of(array(name), dtype_); }

 private:
  const GoldenFile& file_;
  std::string name_;
  DType dtype_;
};

Conv2dShape shape_of(const GoldenCase& entry, const Golden& values) {
  const Shape x = values.array("x").shape, w = values.array("weight").shape;
  const auto number = [&](const char* key, std::size_t axis) {
    const std::vector<double>& all = entry.numbers.find(key)->second;
    return static_cast<std::int64_t>(all[std::min(axis, all.size() - 1)]);
  };
  return {.n = x[0],
          .h = x[1],
          .w = x[2],
          .c = x[3],
          .k = w[0],
          .r = w[1],
          .s = w[2],
          .stride_h = number("stride", 0),
          .stride_w = number("stride", 1),
          .pad_h = number("padding", 0),
          .pad_w = number("padding", 1),
          .dilation_h = number("dilation", 0),
          .dilation_w = number("dilation", 1),
          .groups = number("groups", 0)};
}

void check_conv2d(const GoldenCase& entry, const Golden& values, DType dtype) {
  const Conv2dShape s = shape_of(entry, values);
  const bool has_bias = values.has("bias");
  const OwnedTensor x = values.tensor("x"), w = values.tensor("weight"), dy = values.tensor("dy");
  const OwnedTensor bias = has_bias ? values.tensor("bias") : OwnedTensor({s.k}, dtype);
  const OwnedTensor y(s.output(), dtype), dx(s.input(), dtype), dw(s.weights(), dtype);
  const OwnedTensor dbias({s.k}, dtype);
  TestContext c(2);
  const Scratch scratch(
      std::max(conv2d_scratch_bytes(c, s, dtype), conv2d_grad_scratch_bytes(c, s, dtype)));
  conv2d(c, {.shape = s,
             .x = x,
             .w = w,
             .bias = has_bias ? bias.view() : Tensor{},
             .y = y,
             .scratch = scratch.data()});
  conv2d_grad(c, {.shape = s,
                  .x = x,
                  .w = w,
                  .dy = dy,
                  .dx = dx,
                  .dw = dw,
                  .dbias = dbias,
                  .scratch = scratch.data()});
  EXPECT_TRUE(close_to(y, values.array("y").values, tolerance(dtype))) << entry.name;
  EXPECT_TRUE(close_to(dx, values.array("dx").values, tolerance(dtype))) << entry.name;
  EXPECT_TRUE(close_to(dw, values.array("dweight").values, tolerance(dtype))) << entry.name;
  if (has_bias) {
    EXPECT_TRUE(close_to(dbias, values.array("dbias").values, tolerance(dtype))) << entry.name;
  }
}

void check_linear(const GoldenCase& entry, const Golden& values, DType dtype) {
  const bool has_bias = values.has("bias");
  const OwnedTensor x = values.tensor("x"), w = values.tensor("weight"), dy = values.tensor("dy");
  const std::int64_t rows = x.shape()[0], inputs = x.shape()[1], outputs = w.shape()[0];
  const OwnedTensor bias = has_bias ? values.tensor("bias") : OwnedTensor({outputs}, dtype);
  const OwnedTensor y({rows, outputs}, dtype), dx(x.shape(), dtype), dw(w.shape(), dtype);
  const OwnedTensor dbias({outputs}, dtype);
  TestContext c(2);
  const Scratch scratch(std::max(linear_scratch_bytes(c, rows, inputs, outputs, dtype),
                                 linear_grad_scratch_bytes(c, rows, inputs, outputs, dtype)));
  linear(c, {.x = x,
             .w = w,
             .bias = has_bias ? bias.view() : Tensor{},
             .y = y,
             .scratch = scratch.data()});
  linear_grad(
      c, {.x = x, .w = w, .dy = dy, .dx = dx, .dw = dw, .dbias = dbias, .scratch = scratch.data()});
  EXPECT_TRUE(close_to(y, values.array("y").values, tolerance(dtype))) << entry.name;
  EXPECT_TRUE(close_to(dx, values.array("dx").values, tolerance(dtype))) << entry.name;
  EXPECT_TRUE(close_to(dw, values.array("dweight").values, tolerance(dtype))) << entry.name;
  if (has_bias) {
    EXPECT_TRUE(close_to(dbias, values.array("dbias").values, tolerance(dtype))) << entry.name;
  }
}

TEST(Golden, Conv2dAndLinearEqualPyTorch) {
  const GoldenFile file("ops");
  int conv2d_count = 0, linear_count = 0;
  for (const GoldenCase& entry : file.cases())
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Golden values(file, entry, dtype);
      if (entry.name.starts_with("conv2d.")) {
        check_conv2d(entry, values, dtype);
        ++conv2d_count;
      } else if (entry.name.starts_with("linear.")) {
        check_linear(entry, values, dtype);
        ++linear_count;
      }
    }
  EXPECT_EQ(conv2d_count, 18);
  EXPECT_EQ(linear_count, 6);
}

}  // namespace
}  // namespace kiln::test
