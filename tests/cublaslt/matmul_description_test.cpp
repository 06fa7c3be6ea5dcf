// What cuBLASLt is told, read back from it. No device and no product: descriptions only.
#include "kernels/cublaslt/matmul_description.h"

#include <cstdint>
#include <gtest/gtest.h>
#include <utility>

#include "engine/core/error.h"

namespace kiln::cublaslt {
namespace {

template <class T>
T read(const Operation& operation, cublasLtMatmulDescAttributes_t attribute) {
  T value{};
  std::size_t written = 0;
  require_success(
      cublasLtMatmulDescGetAttribute(operation.get(), attribute, &value, sizeof(value), &written),
      "cublasLtMatmulDescGetAttribute");
  EXPECT_EQ(written, sizeof(value));
  return value;
}

template <class T>
T read(const Layout& layout, cublasLtMatrixLayoutAttribute_t attribute) {
  T value{};
  std::size_t written = 0;
  require_success(
      cublasLtMatrixLayoutGetAttribute(layout.get(), attribute, &value, sizeof(value), &written),
      "cublasLtMatrixLayoutGetAttribute");
  EXPECT_EQ(written, sizeof(value));
  return value;
}

template <class T>
T read(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute) {
  T value{};
  std::size_t written = 0;
  require_success(cublasLtMatmulPreferenceGetAttribute(preference.get(), attribute, &value,
                                                       sizeof(value), &written),
                  "cublasLtMatmulPreferenceGetAttribute");
  EXPECT_EQ(written, sizeof(value));
  return value;
}

bool agrees(const Layout& layout, const ColumnMatrix& m, cudaDataType_t type) {
  return read<std::uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_ROWS) ==
             static_cast<std::uint64_t>(m.rows) &&
         read<std::uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_COLS) ==
             static_cast<std::uint64_t>(m.columns) &&
         read<std::int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_LD) == m.ld &&
         read<std::int32_t>(layout, CUBLASLT_MATRIX_LAYOUT_ORDER) == CUBLASLT_ORDER_COL &&
         read<std::uint32_t>(layout, CUBLASLT_MATRIX_LAYOUT_TYPE) ==
             static_cast<std::uint32_t>(type);
}

constexpr LinearPass kPasses[] = {LinearPass::forward, LinearPass::input_gradient,
                                  LinearPass::weight_gradient};

TEST(MatmulDescription, HoldsTheLayoutsOfEveryPassAndType) {
  const std::pair<DType, cudaDataType_t> types[] = {
      {DType::f32, CUDA_R_32F}, {DType::f16, CUDA_R_16F}, {DType::bf16, CUDA_R_16BF}};
  for (const auto& [dtype, type] : types)
    for (const LinearPass pass : kPasses) {
      const LinearMatmul p = matmul_of(pass, 3, 5, 7);
      const MatmulDescription made(p, MatmulEpilogue::none, dtype, FloatMath::fp32);
      EXPECT_TRUE(agrees(made.a, p.a, type));
      EXPECT_TRUE(agrees(made.b, p.b, type));
      EXPECT_TRUE(agrees(made.d, p.d, type));
      EXPECT_FALSE(agrees(made.a, p.b, type)) << "the check sees an exchange";
      const auto op = [](const ColumnMatrix& m) {
        return m.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
      };
      EXPECT_EQ(read<std::int32_t>(made.operation, CUBLASLT_MATMUL_DESC_TRANSA), op(p.a));
      EXPECT_EQ(read<std::int32_t>(made.operation, CUBLASLT_MATMUL_DESC_TRANSB), op(p.b));
    }
}

TEST(MatmulDescription, Tf32IsForF32ThatAsksForIt) {
  const auto compute = [](DType dtype, FloatMath math) {
    const MatmulDescription made(matmul_of(LinearPass::forward, 3, 5, 7), MatmulEpilogue::none,
                                 dtype, math);
    return read<std::int32_t>(made.operation, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE);
  };
  EXPECT_EQ(compute(DType::f32, FloatMath::fp32), CUBLAS_COMPUTE_32F);
  EXPECT_EQ(compute(DType::f32, FloatMath::tf32), CUBLAS_COMPUTE_32F_FAST_TF32);
  EXPECT_EQ(compute(DType::bf16, FloatMath::tf32), CUBLAS_COMPUTE_32F);
  EXPECT_EQ(compute(DType::f16, FloatMath::tf32), CUBLAS_COMPUTE_32F);
}

TEST(MatmulDescription, EpiloguesAreWhatTheyAreCalled) {
  const auto epilogue = [](MatmulEpilogue wanted) {
    const MatmulDescription made(matmul_of(LinearPass::forward, 3, 5, 7), wanted, DType::bf16,
                                 FloatMath::fp32);
    EXPECT_EQ(read<std::int32_t>(made.operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE), CUDA_R_16BF);
    return read<std::uint32_t>(made.operation, CUBLASLT_MATMUL_DESC_EPILOGUE);
  };
  EXPECT_EQ(epilogue(MatmulEpilogue::none), CUBLASLT_EPILOGUE_DEFAULT);
  EXPECT_EQ(epilogue(MatmulEpilogue::bias), CUBLASLT_EPILOGUE_BIAS);
  EXPECT_EQ(epilogue(MatmulEpilogue::relu), CUBLASLT_EPILOGUE_RELU);
  EXPECT_EQ(epilogue(MatmulEpilogue::bias_relu), CUBLASLT_EPILOGUE_RELU_BIAS);
  EXPECT_EQ(epilogue(MatmulEpilogue::bias_gradient), CUBLASLT_EPILOGUE_BGRADB);
}

TEST(MatmulDescription, DoubleIsRefused) {
  EXPECT_THROW(MatmulDescription(matmul_of(LinearPass::forward, 3, 5, 7), MatmulEpilogue::none,
                                 DType::f64, FloatMath::fp32),
               Error);
}

TEST(MatmulPreference, BoundsMemoryAndKeepsSumsWide) {
  const Preference made = preference_of(std::size_t{32} << 20, 64);
  EXPECT_EQ(read<std::uint64_t>(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES), 32u << 20);
  const auto schemes = read<std::uint32_t>(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
  EXPECT_EQ(schemes & CUBLASLT_REDUCTION_SCHEME_INPLACE, 0u);
  EXPECT_EQ(schemes & CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE, 0u);
  EXPECT_EQ(read<std::uint32_t>(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES), 64u);
  EXPECT_EQ(read<std::uint32_t>(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES), 64u);
}

}  // namespace
}  // namespace kiln::cublaslt
