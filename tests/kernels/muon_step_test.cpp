#include "kernels/include/muon_step.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "kernels/include/loss_scale_update.h"
#include "tests/golden/golden.h"
#include "tests/kernels/weight_copy.h"
#include "tests/reference/muon_step.h"
#include "tests/support/check_op.h"
#include "tests/support/device_values.h"

namespace kiln::test {
namespace {

// Wide, tall, square, of one row; convolutions' and a linear layer's.
std::vector<Shape> matrix_shapes() {
  return {{5, 3, 3, 2}, {24, 3, 3, 8}, {17, 3}, {8, 8}, {1, 9}, {33, 70}};
}

constexpr reference::MuonSettings kSettings[] = {
    {.lr = 0.24, .momentum = 0.6, .nesterov = true},
    {.lr = 0.1, .momentum = 0.9},
    {.lr = 0.1, .momentum = 0, .iterations = 1},
};

// w, momentum buffer of every matrix
Results run_muon(Context& c, DType dtype, const std::vector<Shape>& shapes,
                 const reference::MuonSettings& s) {
  Results results, gradients;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    results.push_back(random_tensor(shapes[i], dtype, 3 * i + 1));
    results.push_back(random_tensor(shapes[i], dtype, 3 * i + 2));
    gradients.push_back(random_tensor(shapes[i], dtype, 3 * i + 3));
  }
  std::vector<MuonMatrix> matrices;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    matrices.push_back(
        {.w = results[2 * i], .grad = gradients[i], .momentum_buffer = results[2 * i + 1]});
  const Buffer scratch(c.device(), muon_step_scratch_bytes(shapes, dtype));
  muon_step(c, {.matrices = matrices,
                .lr = s.lr,
                .momentum = s.momentum,
                .nesterov = s.nesterov,
                .iterations = s.iterations,
                .scratch = scratch.data()});
  return results;
}

std::vector<Values> wanted_muon(const std::vector<Shape>& shapes,
                                const reference::MuonSettings& s) {
  std::vector<Values> wanted;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    Values w = random_tensor(shapes[i], DType::f32, 3 * i + 1).values();
    Values buffer = random_tensor(shapes[i], DType::f32, 3 * i + 2).values();
    reference::muon(s, static_cast<std::size_t>(shapes[i][0]), w,
                    random_tensor(shapes[i], DType::f32, 3 * i + 3).values(), buffer);
    wanted.push_back(std::move(w));
    wanted.push_back(std::move(buffer));
  }
  return wanted;
}

// f32: an iteration multiplies small singular values, and their rounding, by up to 3.45.
TEST(MuonStep, MatchesTheOracle) {
  for (const auto& s : kSettings)
    check_op([&](Context& c, DType dtype) { return run_muon(c, dtype, matrix_shapes(), s); },
             wanted_muon(matrix_shapes(), s), {5e-6, 1e-13});
}

// The polynomial brings what is not tiny near 1, from both sides.
TEST(MuonStep, TheOraclesDirectionIsNearlyOrthogonal) {
  const std::size_t rows = 6, columns = 40;
  const Values u = random_tensor({6, 40}, DType::f64, 1).values();
  const Values x = reference::orthogonalised(u, rows, columns, 5);
  const Values gram =
      reference::matrix_product(x, reference::turned_matrix(x, rows, columns), rows, columns, rows);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < rows; ++j) {
      if (i == j) {
        EXPECT_GT(gram[i * rows + j], 0.4);
        EXPECT_LT(gram[i * rows + j], 1.6);
      } else {
        EXPECT_LT(std::fabs(gram[i * rows + j]), 0.45);
      }
    }
}

// Four steps against PyTorch in double. The bar of float is that of what four steps amplify; bf16,
// as the recipe has it, is 0.9 to 1.2 percent away (index.json of tests/golden).
TEST(MuonStep, FollowsPyTorchOverSteps) {
  const golden::GoldenFile file("speedrun");
  TestContext c;
  for (const char* name : {"muon.wide", "muon.tall", "muon.square"})
    for (const auto& [dtype, bar] : {std::pair{DType::f64, 1e-12}, std::pair{DType::f32, 3e-6}}) {
      SCOPED_TRACE(name);
      const std::string prefix = name;
      const golden::GoldenArray start = file.at(prefix + "/start");
      const Values gradients = file.at(prefix + "/gradients").values;
      const Values after = file.at(prefix + "/after").values;
      const OwnedTensor w(start.shape, dtype, start.values);
      OwnedTensor buffer(start.shape, dtype);
      buffer.assign(Values(start.values.size(), 0.0));
      const Buffer scratch(c.get().device(), muon_step_scratch_bytes({&start.shape, 1}, dtype));
      const auto size = static_cast<std::ptrdiff_t>(start.values.size());
      for (std::ptrdiff_t step = 0; step < 4; ++step) {
        const OwnedTensor grad(
            start.shape, dtype,
            Values(gradients.begin() + step * size, gradients.begin() + (step + 1) * size));
        const MuonMatrix matrix{.w = w, .grad = grad, .momentum_buffer = buffer};
        muon_step(c, {.matrices = {&matrix, 1},
                      .lr = 0.24,
                      .momentum = 0.6,
                      .nesterov = prefix != "muon.square",
                      .scratch = scratch.data()});
        EXPECT_LE(golden::relative_error(w.values(), Values(after.begin() + step * size,
                                                            after.begin() + (step + 1) * size)),
                  bar)
            << name_of(dtype) << ", step " << step;
      }
    }
}

TEST(MuonStep, ReadsItsNumbersFromTheStepsState) {
  if (test_device().is_host()) GTEST_SKIP() << "the CPU has its numbers in the arguments";
  TestContext c;
  const Shape shape{5, 7};
  const auto step = [&](const StepState* state, double lr) {
    Results results;
    results.push_back(random_tensor(shape, DType::f32, 1));
    results.push_back(random_tensor(shape, DType::f32, 2));
    const OwnedTensor grad = random_tensor(shape, DType::f32, 3);
    const MuonMatrix matrix{.w = results[0], .grad = grad, .momentum_buffer = results[1]};
    const Buffer scratch(c.get().device(), muon_step_scratch_bytes({{shape}}, DType::f32));
    muon_step(c, {.matrices = {&matrix, 1},
                  .lr = lr,
                  .momentum = 0.6,
                  .nesterov = true,
                  .state = state,
                  .rate = 2,
                  .scratch = scratch.data()});
    return results;
  };
  StepState at{.rates = {.learning_rate = 7}};
  at.rates.group_rates[2] = 0.125;
  const DeviceValues<StepState> state({at});
  expect_bitwise_equal(step(nullptr, 0.125), step(state.data(), 99), "by the state");
  at.halted = 1;
  const DeviceValues<StepState> halted({at});
  const Results left = step(halted.data(), 99);
  EXPECT_TRUE(bitwise_equal(left[0], random_tensor(shape, DType::f32, 1)));
  EXPECT_TRUE(bitwise_equal(left[1], random_tensor(shape, DType::f32, 2)));
}

// A 16-bit gradient under a scale of the loss is the same f32 gradient; the copy is the weight,
// rounded once.
TEST(MuonStep, TakesScaledGradientsOf16Bits) {
  if (test_device().is_host()) GTEST_SKIP() << "gradients of 16 bits are not the CPU's";
  TestContext c;
  const Shape shape{4, 6};
  const float scaling[kLossScaleSize] = {1024, 0, 0, 0};
  const DeviceValues<float> loss_scale({scaling[0], 0, 0, 0});
  const OwnedTensor narrow = random_tensor(shape, DType::f16, 3);
  Values unscaled = narrow.values();
  for (double& value : unscaled) value /= 1024;
  const OwnedTensor wide(shape, DType::f32, unscaled);
  const auto step = [&](const Tensor& grad, const Tensor& copy, const Tensor& scale) {
    Results results;
    results.push_back(random_tensor(shape, DType::f32, 1));
    results.push_back(random_tensor(shape, DType::f32, 2));
    const MuonMatrix matrix{
        .w = results[0], .grad = grad, .momentum_buffer = results[1], .copy = copy};
    const Buffer scratch(c.get().device(), muon_step_scratch_bytes({{shape}}, DType::f32));
    muon_step(c, {.matrices = {&matrix, 1},
                  .loss_scale = scale,
                  .lr = 0.25,
                  .momentum = 0.6,
                  .scratch = scratch.data()});
    return results;
  };
  const OwnedTensor copy(shape, DType::f16);
  const Results scaled =
      step(narrow, copy, Tensor(loss_scale.data(), {kLossScaleSize}, DType::f32, c.get().device()));
  expect_bitwise_equal(step(wide, {}, {}), scaled, "scaled");
  EXPECT_EQ(copy.values(), rounded(scaled[0].values(), DType::f16));
}

// The CPU's mixed precision: an f32 gradient and a bf16 copy. The update is that without a copy.
TEST(MuonStep, OnTheCpuACopyIsTheWeightRounded) {
  KILN_CPU_ONLY("devices have copies beside 16-bit gradients");
  expect_copy_is_weight_rounded(
      [](Context& c, const Tensor& w, const Tensor& grad, const Tensor& buffer, const Tensor&,
         const Tensor& copy) {
        const Shape shape = w.shape();
        const MuonMatrix matrix{.w = w, .grad = grad, .momentum_buffer = buffer, .copy = copy};
        const Buffer scratch(c.device(), muon_step_scratch_bytes({&shape, 1}, DType::f32));
        muon_step(
            c, {.matrices = {&matrix, 1}, .lr = 0.1, .momentum = 0.9, .scratch = scratch.data()});
      },
      matrix_shapes());
}

TEST(MuonStep, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor matrix = random_tensor({4, 4}, DType::f32, 1),
                    row = random_tensor({4}, DType::f32, 1);
  const Buffer scratch(c.get().device(), 4096);
  const auto step = [&](const Tensor& w, const Tensor& grad, const Tensor& buffer,
                        std::byte* memory, bool nesterov) {
    const MuonMatrix m{.w = w, .grad = grad, .momentum_buffer = buffer};
    muon_step(c, {.matrices = {&m, 1}, .nesterov = nesterov, .scratch = memory});
  };
  EXPECT_THROW(step(row, row, row, scratch.data(), false), Error);
  EXPECT_THROW(step(matrix, row, matrix, scratch.data(), false), Error);
  EXPECT_THROW(step(matrix, matrix, {}, scratch.data(), false), Error);
  EXPECT_THROW(step(matrix, matrix, matrix, nullptr, false), Error);
  EXPECT_THROW(step(matrix, matrix, matrix, scratch.data(), true), Error);
}

}  // namespace
}  // namespace kiln::test
