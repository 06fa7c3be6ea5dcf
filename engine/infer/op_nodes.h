// Nodes of every kind of op: arguments of a kernel, and the views that become their tensors.
#pragma once

#include <algorithm>

#include "engine/infer/node.h"
#include "kernels/include/add_relu.h"
#include "kernels/include/linear.h"

namespace kiln::infer {

// One kernel from x to y. `args` holds all the rest, weights included.
template <class Args, void (*kernel)(Context&, const Args&)>
class OpNode final : public Node {
 public:
  OpNode(const Args& args, const View& x, const View& y) : args_(args), x_(x), y_(y) {}
  void bind(const Places& places) override {
    args_.x = places[x_];
    args_.y = places[y_];
    if constexpr (requires { args_.scratch; }) args_.scratch = places.scratch;
  }
  void run(Context& context) const override { kernel(context, args_); }

 private:
  Args args_;
  View x_, y_;
};

// The CPU's linear kernel chooses its order of summation by the number of rows. Up to this many it
// is always the one for few rows, so a row gets the same bits in every batch.
inline constexpr std::int64_t kLinearRows = 8;

class LinearNode final : public Node {
 public:
  LinearNode(const LinearArgs& args, const View& x, const View& y) : args_(args), x_(x), y_(y) {}
  void bind(const Places& places) override {
    args_.x = places[x_];
    args_.y = places[y_];
    args_.scratch = places.scratch;
  }
  void run(Context& context) const override {
    const std::int64_t rows = x_.shape[0];
    if (!context.device().is_host() || rows <= kLinearRows) return linear(context, args_);
    LinearArgs piece = args_;
    for (std::int64_t row = 0; row < rows; row += kLinearRows) {
      const std::int64_t count = std::min(kLinearRows, rows - row);
      piece.x = rows_of(args_.x, row, count);
      piece.y = rows_of(args_.y, row, count);
      linear(context, piece);
    }
  }

 private:
  static Tensor rows_of(const Tensor& all, std::int64_t row, std::int64_t count) {
    const std::int64_t width = all.shape()[1];
    return {all.data<float>() + row * width, {count, width}, DType::f32, all.device()};
  }

  LinearArgs args_;
  View x_, y_;
};

class AddNode final : public Node {
 public:
  AddNode(const View& a, const View& b, const View& y) : a_(a), b_(b), y_(y) {}
  void bind(const Places& places) override {
    args_ = {.a = places[a_], .b = places[b_], .y = places[y_]};
  }
  void run(Context& context) const override { add_relu(context, args_); }

 private:
  AddReluArgs args_;
  View a_, b_, y_;
};

}  // namespace kiln::infer
