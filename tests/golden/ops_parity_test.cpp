// Every case of ops.safetensors through kiln's kernels: what PyTorch computes, we compute.
//
// Errors are the largest difference over the largest magnitude of a tensor. Float: 2e-6, some ten
// times what PyTorch's own float32 differs from its float64 (index.json). Double: 1e-12.
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/include/add_relu.h"
#include "kernels/include/add_relu_grad.h"
#include "kernels/include/avgpool.h"
#include "kernels/include/avgpool_grad.h"
#include "kernels/include/batchnorm_grad.h"
#include "kernels/include/batchnorm_infer.h"
#include "kernels/include/batchnorm_train.h"
#include "kernels/include/conv2d_provider.h"
#include "kernels/include/gelu.h"
#include "kernels/include/gelu_grad.h"
#include "kernels/include/linear.h"
#include "kernels/include/linear_grad.h"
#include "kernels/include/log_softmax.h"
#include "kernels/include/log_softmax_grad.h"
#include "kernels/include/maxpool.h"
#include "kernels/include/maxpool_grad.h"
#include "kernels/include/relu.h"
#include "kernels/include/relu_grad.h"
#include "kernels/include/softmax_xent.h"
#include "tests/golden/golden.h"
#include "tests/support/devices.h"
#include "tests/support/guards.h"

namespace kiln::golden {
namespace {

using test::OwnedTensor;

class OpsParity : public testing::TestWithParam<std::tuple<DType, int>> {
 protected:
  OpsParity() : context_(std::get<1>(GetParam())) {}

  DType dtype() const { return std::get<0>(GetParam()); }
  double tolerance() const { return dtype() == DType::f32 ? 2e-6 : 1e-12; }

  // Calls run() for every case of `op`, with case_ set; at least one must exist.
  template <class Run>
  void for_each_case(const std::string& op, const Run& run) {
    int count = 0;
    for (const GoldenCase& entry : file_.cases()) {
      if (entry.texts.at("op") != op) continue;
      case_ = &entry;
      SCOPED_TRACE(entry.name);
      run();
      ++count;
    }
    EXPECT_GT(count, 0) << op;
  }

  bool has(const std::string& tensor) const { return file_.contains(case_->name + "/" + tensor); }
  GoldenArray stored(const std::string& tensor) const {
    return to_channels_last(file_.at(case_->name + "/" + tensor));
  }
  OwnedTensor input(const std::string& tensor) const {
    const GoldenArray array = stored(tensor);
    return {array.shape, dtype(), array.values};
  }
  // Spoilt memory in the shape of a stored result.
  OwnedTensor output(const std::string& tensor) const { return {stored(tensor).shape, dtype()}; }
  Shape shape_of(const std::string& tensor) const { return stored(tensor).shape; }

  void expect(const std::string& tensor, const OwnedTensor& got) const {
    EXPECT_TRUE(got.guards_intact()) << tensor;
    EXPECT_LE(relative_error(got.values(), stored(tensor).values), tolerance()) << tensor;
  }

  double number(const std::string& key) const { return case_->numbers.at(key).at(0); }
  // Height and width of a configuration value; one number stands for both.
  std::pair<std::int64_t, std::int64_t> extent(const std::string& key) const {
    const std::vector<double>& values = case_->numbers.at(key);
    return {static_cast<std::int64_t>(values.front()), static_cast<std::int64_t>(values.back())};
  }

  Pool2dShape pool_shape() const {
    const Shape x = shape_of("x");
    const auto [r, s] = extent("kernel");
    const auto [stride_h, stride_w] = extent("stride");
    const auto [pad_h, pad_w] = extent("padding");
    return {x[0], x[1], x[2], x[3], r, s, stride_h, stride_w, pad_h, pad_w};
  }
  Conv2dShape conv_shape() const {
    const Shape x = shape_of("x"), w = shape_of("weight");
    const auto [stride_h, stride_w] = extent("stride");
    const auto [pad_h, pad_w] = extent("padding");
    const auto [dilation_h, dilation_w] = extent("dilation");
    return {x[0],     x[1],     x[2],  x[3],  w[0],       w[1],       w[2],
            stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, extent("groups").first};
  }

  std::byte* scratch(std::size_t size_bytes) {
    scratch_ = Buffer({}, size_bytes + 1);
    return scratch_.data();
  }

  void run_convolution(CpuConv2dChoice choice);

  GoldenFile file_{"ops"};
  const GoldenCase* case_ = nullptr;
  test::TestContext context_;
  Log log_{stderr, LogLevel::quiet};
  Buffer scratch_;
};

void OpsParity::run_convolution(CpuConv2dChoice choice) {
  Conv2dProviders providers = make_cpu_conv2d_providers(log_, choice);
  const bool has_bias = has("bias");
  const Conv2dProblem problem{.shape = conv_shape(),
                              .dtype = dtype(),
                              .has_bias = has_bias,
                              .thread_count = std::get<1>(GetParam())};
  const OwnedTensor x = input("x"), w = input("weight"), dy = input("dy");
  const OwnedTensor bias = has_bias ? input("bias") : OwnedTensor({1}, dtype());
  OwnedTensor y = output("y"), dx = output("dx"), dw = output("dweight");
  OwnedTensor dbias = has_bias ? output("dbias") : OwnedTensor({1}, dtype());
  const auto forward = providers.forward(problem);
  forward->run(context_, {.shape = problem.shape,
                          .x = x,
                          .w = w,
                          .bias = has_bias ? bias.view() : Tensor{},
                          .y = y,
                          .scratch = scratch(forward->scratch_bytes())});
  const auto backward = providers.backward(problem);
  backward->run(context_, {.shape = problem.shape,
                           .x = x,
                           .w = w,
                           .dy = dy,
                           .dx = dx,
                           .dw = dw,
                           .dbias = has_bias ? dbias.view() : Tensor{},
                           .scratch = scratch(backward->scratch_bytes())});
  expect("y", y);
  expect("dx", dx);
  expect("dweight", dw);
  if (has_bias) expect("dbias", dbias);
}

TEST_P(OpsParity, Conv2dOwnKernels) {
  for_each_case("conv2d", [&] { run_convolution(CpuConv2dChoice::own); });
}

TEST_P(OpsParity, Conv2dOnednnWhereItCan) {
  for_each_case("conv2d", [&] { run_convolution(CpuConv2dChoice::onednn); });
}

TEST_P(OpsParity, Linear) {
  for_each_case("linear", [&] {
    const bool has_bias = has("bias");
    const OwnedTensor x = input("x"), w = input("weight"), dy = input("dy");
    const OwnedTensor bias = has_bias ? input("bias") : OwnedTensor({1}, dtype());
    OwnedTensor y = output("y"), dx = output("dx"), dw = output("dweight");
    OwnedTensor dbias = has_bias ? output("dbias") : OwnedTensor({1}, dtype());
    const std::int64_t rows = x.shape()[0], inputs = x.shape()[1], outputs = y.shape()[1];
    linear(context_,
           {.x = x,
            .w = w,
            .bias = has_bias ? bias.view() : Tensor{},
            .y = y,
            .scratch = scratch(linear_scratch_bytes(context_, rows, inputs, outputs, dtype()))});
    linear_grad(
        context_,
        {.x = x,
         .w = w,
         .y = {},
         .dy = dy,
         .dx = dx,
         .dw = dw,
         .dbias = has_bias ? dbias.view() : Tensor{},
         .scratch = scratch(linear_grad_scratch_bytes(context_, rows, inputs, outputs, dtype()))});
    expect("y", y);
    expect("dx", dx);
    expect("dweight", dw);
    if (has_bias) expect("dbias", dbias);
  });
}

TEST_P(OpsParity, Relu) {
  for_each_case("relu", [&] {
    const OwnedTensor x = input("x"), dy = input("dy");
    OwnedTensor y = output("y"), dx = output("dx");
    relu(context_, {.x = x, .y = y});
    relu_grad(context_, {.y = y, .dy = dy, .dx = dx});
    expect("y", y);
    expect("dx", dx);
  });
}

TEST_P(OpsParity, Gelu) {
  for_each_case("gelu", [&] {
    const OwnedTensor x = input("x"), dy = input("dy");
    OwnedTensor y = output("y"), dx = output("dx");
    gelu(context_, {.x = x, .y = y});
    gelu_grad(context_, {.x = x, .dy = dy, .dx = dx});
    expect("y", y);
    expect("dx", dx);
  });
}

TEST_P(OpsParity, LogSoftmax) {
  for_each_case("log_softmax", [&] {
    const OwnedTensor x = input("x"), dy = input("dy");
    OwnedTensor y = output("y"), dx = output("dx");
    log_softmax(context_, {.x = x, .y = y});
    log_softmax_grad(context_, {.y = y, .dy = dy, .dx = dx});
    expect("y", y);
    expect("dx", dx);
  });
}

TEST_P(OpsParity, ResidualAdd) {
  for_each_case("add", [&] {
    const OwnedTensor a = input("a"), b = input("b"), dy = input("dy");
    OwnedTensor y = output("y"), dsum = output("da");
    add_relu(context_, {.a = a, .b = b, .y = y, .activation = Activation::none});
    add_relu_grad(context_, {.y = y, .dy = dy, .dsum = dsum, .activation = Activation::none});
    expect("y", y);
    expect("da", dsum);
    expect("db", dsum);
  });
}

TEST_P(OpsParity, MaxPool) {
  for_each_case("max_pool", [&] {
    const OwnedTensor x = input("x"), dy = input("dy");
    OwnedTensor y = output("y"), dx = output("dx"), index(shape_of("y"), DType::u8);
    maxpool(context_, {.shape = pool_shape(), .x = x, .y = y, .index = index});
    maxpool_grad(context_, {.shape = pool_shape(), .index = index, .dy = dy, .dx = dx});
    expect("y", y);
    expect("dx", dx);
  });
}

TEST_P(OpsParity, AveragePool) {
  for_each_case("avg_pool", [&] {
    const OwnedTensor x = input("x"), dy = input("dy");
    OwnedTensor y = output("y"), dx = output("dx");
    avgpool(context_, {.shape = pool_shape(), .x = x, .y = y});
    avgpool_grad(context_, {.shape = pool_shape(), .dy = dy, .dx = dx});
    expect("y", y);
    expect("dx", dx);
  });
}

TEST_P(OpsParity, BatchNormalisation) {
  for_each_case("batch_norm", [&] {
    const OwnedTensor x = input("x"), gamma = input("weight"), beta = input("bias");
    OwnedTensor mean = input("running_mean"), var = input("running_var"), y = output("y");
    const double epsilon = number("eps");
    if (number("training") == 0.0) {
      batchnorm_infer(context_, {.x = x,
                                 .gamma = gamma,
                                 .beta = beta,
                                 .running_mean = mean,
                                 .running_var = var,
                                 .y = y,
                                 .epsilon = epsilon});
      return expect("y", y);
    }
    const OwnedTensor dy = input("dy");
    OwnedTensor saved_mean(gamma.shape(), dtype()), saved_inv_std(gamma.shape(), dtype());
    OwnedTensor dx = output("dx"), dgamma = output("dweight"), dbeta = output("dbias");
    batchnorm_train(
        context_,
        {.x = x,
         .gamma = gamma,
         .beta = beta,
         .y = y,
         .saved_mean = saved_mean,
         .saved_inv_std = saved_inv_std,
         .running_mean = mean,
         .running_var = var,
         .momentum = number("momentum"),
         .epsilon = epsilon,
         .scratch = scratch(batchnorm_train_scratch_bytes(context_, x.shape(), dtype()))});
    batchnorm_grad(
        context_, {.x = x,
                   .y = {},
                   .gamma = gamma,
                   .saved_mean = saved_mean,
                   .saved_inv_std = saved_inv_std,
                   .dy = dy,
                   .dx = dx,
                   .dgamma = dgamma,
                   .dbeta = dbeta,
                   .scratch = scratch(batchnorm_grad_scratch_bytes(context_, x.shape(), dtype()))});
    expect("y", y);
    expect("dx", dx);
    expect("dweight", dgamma);
    expect("dbias", dbeta);
    expect("running_mean_after", mean);
    expect("running_var_after", var);
  });
}

TEST_P(OpsParity, CrossEntropyWithLabelSmoothing) {
  for_each_case("cross_entropy", [&] {
    const OwnedTensor z = input("logits");
    const std::int64_t rows = z.shape()[0];
    const OwnedTensor labels({rows}, DType::i32, stored("labels").values);
    OwnedTensor loss({rows}, dtype()), hit({rows}, DType::i32), dz = output("dlogits");
    softmax_xent(context_, {.z = z,
                            .t = labels,
                            .loss = loss,
                            .hit = hit,
                            .dz = dz,
                            .label_smoothing = number("label_smoothing"),
                            .scale = 1.0 / static_cast<double>(rows)});
    double mean = 0.0;
    for (const double value : loss.values()) mean += value / static_cast<double>(rows);
    EXPECT_LE(relative_error({mean}, stored("loss").values), tolerance());
    expect("dlogits", dz);
  });
}

TEST_P(OpsParity, EveryOpOfTheFileIsTested) {
  const std::set<std::string> tested{"conv2d",      "linear",       "relu",     "gelu",
                                     "log_softmax", "add",          "max_pool", "avg_pool",
                                     "batch_norm",  "cross_entropy"};
  for (const GoldenCase& entry : file_.cases())
    EXPECT_TRUE(tested.contains(entry.texts.at("op"))) << entry.name;
}

INSTANTIATE_TEST_SUITE_P(Golden, OpsParity,
                         testing::Combine(testing::Values(DType::f32, DType::f64),
                                          testing::ValuesIn(test::kThreadCounts)),
                         [](const auto& tested) {
                           return std::string(name_of(std::get<0>(tested.param))) + "_threads" +
                                  std::to_string(std::get<1>(tested.param));
                         });

}  // namespace
}  // namespace kiln::golden
