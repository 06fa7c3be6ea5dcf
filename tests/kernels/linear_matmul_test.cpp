// The layouts that a library by columns is given for linear, evaluated by its definition in double
// and compared with the oracle. Needs neither the library nor a device.
#include "kernels/common/linear_matmul.h"

#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "tests/kernels/linear_cases.h"
#include "tests/reference/linear.h"

namespace kiln::test {
namespace {

using Values = std::vector<double>;
using Memory = std::map<LinearOperand, Values>;

std::size_t place_of(const ColumnMatrix& m, std::int64_t row, std::int64_t column) {
  return static_cast<std::size_t>(row + column * m.ld);
}

// Of op(M); NaN outside the operand, so that a wrong layout cannot pass unseen.
double element_of(const Memory& memory, const ColumnMatrix& m, std::int64_t row,
                  std::int64_t column) {
  const std::size_t at = m.transposed ? place_of(m, column, row) : place_of(m, row, column);
  const Values& values = memory.at(m.operand);
  return at < values.size() ? values[at] : std::numeric_limits<double>::quiet_NaN();
}

// The definition of the library's product and of its epilogues, element by element.
struct Product {
  Product(const LinearMatmul& p, MatmulEpilogue epilogue, const Memory& memory, const Values& bias)
      : d(static_cast<std::size_t>(p.m * p.n), 0.0) {
    const bool relu = epilogue == MatmulEpilogue::relu || epilogue == MatmulEpilogue::bias_relu;
    const bool add = epilogue == MatmulEpilogue::bias || epilogue == MatmulEpilogue::bias_relu;
    for (std::int64_t column = 0; column < p.n; ++column)
      for (std::int64_t row = 0; row < p.m; ++row) {
        double sum = add ? bias.at(static_cast<std::size_t>(row)) : 0.0;
        for (std::int64_t k = 0; k < p.k; ++k)
          sum += element_of(memory, p.a, row, k) * element_of(memory, p.b, k, column);
        d.at(place_of(p.d, row, column)) = relu && sum < 0 ? 0.0 : sum;
      }
    if (epilogue != MatmulEpilogue::bias_gradient) return;
    for (std::int64_t column = 0; column < p.n; ++column) {
      double sum = 0;
      for (std::int64_t k = 0; k < p.k; ++k) sum += element_of(memory, p.b, k, column);
      bias_gradient.push_back(sum);
    }
  }
  Values d, bias_gradient;
};

// Small whole numbers: every sum is exact, whatever its order.
Values whole_numbers(std::int64_t count, int seed) {
  Values values;
  for (std::int64_t at = 0; at < count; ++at)
    values.push_back(static_cast<double>((at * 7 + seed * 5) % 23 - 11));
  return values;
}

struct Operands {
  explicit Operands(const LinearCase& size) : n(size.n), i(size.i), o(size.o) {
    memory[LinearOperand::x] = whole_numbers(n * i, 1);
    memory[LinearOperand::w] = whole_numbers(o * i, 2);
    memory[LinearOperand::dz] = whole_numbers(n * o, 3);
    bias = whole_numbers(o, 4);
  }
  Values forward(const Values& added, Activation activation) const {
    return reference::linear(static_cast<std::size_t>(n), static_cast<std::size_t>(i),
                             static_cast<std::size_t>(o), memory.at(LinearOperand::x),
                             memory.at(LinearOperand::w), added, activation);
  }
  reference::LinearGradients gradients() const {
    return reference::linear_grad(static_cast<std::size_t>(n), static_cast<std::size_t>(i),
                                  static_cast<std::size_t>(o), memory.at(LinearOperand::x),
                                  memory.at(LinearOperand::w), memory.at(LinearOperand::dz));
  }
  std::int64_t n, i, o;
  Memory memory;
  Values bias;
};

class LinearMatmulTest : public testing::TestWithParam<LinearCase> {};

TEST_P(LinearMatmulTest, ForwardIsTheOraclesWithEveryEpilogue) {
  const Operands t(GetParam());
  const LinearMatmul p = matmul_of(LinearPass::forward, t.n, t.i, t.o);
  for (const Activation activation : {Activation::none, Activation::relu})
    for (const bool has_bias : {false, true}) {
      const MatmulEpilogue epilogue = forward_epilogue(has_bias, activation);
      EXPECT_EQ(Product(p, epilogue, t.memory, t.bias).d,
                t.forward(has_bias ? t.bias : Values{}, activation));
    }
}

TEST_P(LinearMatmulTest, GradientsAreTheOracles) {
  const Operands t(GetParam());
  const auto wanted = t.gradients();
  const LinearMatmul dx = matmul_of(LinearPass::input_gradient, t.n, t.i, t.o);
  EXPECT_EQ(Product(dx, MatmulEpilogue::none, t.memory, {}).d, wanted.dx);
  const LinearMatmul dw = matmul_of(LinearPass::weight_gradient, t.n, t.i, t.o);
  const Product made(dw, weight_gradient_epilogue(true, false), t.memory, {});
  EXPECT_EQ(made.d, wanted.dw);
  EXPECT_EQ(made.bias_gradient, wanted.dbias);
}

// op(A) is [m,k] and op(B) [k,n], D is [m,n], and no leading dimension is too short.
TEST_P(LinearMatmulTest, ExtentsFitTogether) {
  const LinearCase size = GetParam();
  for (const LinearPass pass :
       {LinearPass::forward, LinearPass::input_gradient, LinearPass::weight_gradient}) {
    const LinearMatmul p = matmul_of(pass, size.n, size.i, size.o);
    EXPECT_EQ(p.a.transposed ? p.a.columns : p.a.rows, p.m);
    EXPECT_EQ(p.a.transposed ? p.a.rows : p.a.columns, p.k);
    EXPECT_EQ(p.b.transposed ? p.b.columns : p.b.rows, p.k);
    EXPECT_EQ(p.b.transposed ? p.b.rows : p.b.columns, p.n);
    EXPECT_EQ(p.d.rows, p.m);
    EXPECT_EQ(p.d.columns, p.n);
    for (const ColumnMatrix& m : {p.a, p.b, p.d}) EXPECT_GE(m.ld, m.rows);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, LinearMatmulTest, testing::ValuesIn(linear_cases()));

// The check sees what it is there for: a transposition forgotten, operands exchanged, a leading
// dimension of the wrong extent.
TEST(LinearMatmul, WrongLayoutsAreSeen) {
  const Operands t({.n = 3, .i = 5, .o = 4});
  const Values wanted = t.forward({}, Activation::none);
  const auto made = [&](const LinearMatmul& p) {
    return Product(p, MatmulEpilogue::none, t.memory, {}).d;
  };
  const LinearMatmul right = matmul_of(LinearPass::forward, t.n, t.i, t.o);
  ASSERT_EQ(made(right), wanted);
  LinearMatmul wrong = right;
  wrong.a.transposed = false;
  EXPECT_NE(made(wrong), wanted);
  wrong = right;
  std::swap(wrong.a, wrong.b);
  EXPECT_NE(made(wrong), wanted);
  wrong = right;
  wrong.a.ld = t.o;
  EXPECT_NE(made(wrong), wanted);
  wrong = right;
  wrong.b.ld = t.i + 1;
  EXPECT_NE(made(wrong), wanted);
}

TEST(LinearMatmul, AddedBiasGradientIsNotTheLibrarys) {
  EXPECT_EQ(weight_gradient_epilogue(true, true), MatmulEpilogue::none);
  EXPECT_EQ(weight_gradient_epilogue(false, false), MatmulEpilogue::none);
  EXPECT_EQ(weight_gradient_epilogue(true, false), MatmulEpilogue::bias_gradient);
}

}  // namespace
}  // namespace kiln::test
