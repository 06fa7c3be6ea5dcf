#include "kernels/cublaslt/matmul_description.h"

#include <string>

#include "engine/core/error.h"

namespace kiln::cublaslt {
namespace {

cudaDataType_t type_of(DType dtype) {
  if (dtype == DType::f32) return CUDA_R_32F;
  if (dtype == DType::f16) return CUDA_R_16F;
  if (dtype == DType::bf16) return CUDA_R_16BF;
  throw Error(ErrorKind::unsupported, "cuBLASLt",
              "linear in " + std::string(name_of(dtype)) + " is not computed by it",
              "use the device's own kernels");
}

cublasComputeType_t compute_of(DType dtype, FloatMath math) {
  const bool cut = dtype == DType::f32 && math == FloatMath::tf32;
  return cut ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

cublasLtEpilogue_t epilogue_of(MatmulEpilogue epilogue) {
  switch (epilogue) {
    case MatmulEpilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case MatmulEpilogue::relu:
      return CUBLASLT_EPILOGUE_RELU;
    case MatmulEpilogue::bias_relu:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case MatmulEpilogue::bias_gradient:
      return CUBLASLT_EPILOGUE_BGRADB;
    case MatmulEpilogue::none:
      break;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  require_success(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(value)),
                  "cublasLtMatmulDescSetAttribute");
}

template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  require_success(
      cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
      "cublasLtMatmulPreferenceSetAttribute");
}

Layout layout_of(const ColumnMatrix& matrix, cudaDataType_t type) {
  cublasLtMatrixLayout_t made = nullptr;
  require_success(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(matrix.rows),
                                             static_cast<std::uint64_t>(matrix.columns), matrix.ld),
                  "cublasLtMatrixLayoutCreate");
  return Layout(made);
}

Operation operation_of(cublasComputeType_t compute) {
  cublasLtMatmulDesc_t made = nullptr;
  require_success(cublasLtMatmulDescCreate(&made, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
  return Operation(made);
}

}  // namespace

void require_success(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorKind::io, "cuBLASLt",
              std::string(what) + " failed: " + cublasLtGetStatusName(status));
}

MatmulDescription::MatmulDescription(const LinearMatmul& matmul, MatmulEpilogue epilogue,
                                     DType dtype, FloatMath math)
    : operation(operation_of(compute_of(dtype, math))),
      a(layout_of(matmul.a, type_of(dtype))),
      b(layout_of(matmul.b, type_of(dtype))),
      d(layout_of(matmul.d, type_of(dtype))) {
  const auto op = [](const ColumnMatrix& m) { return m.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, op(matmul.a));
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, op(matmul.b));
  set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(epilogue));
  set(operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(dtype));
}

Preference preference_of(std::size_t workspace_bytes, std::uint32_t alignment_bytes) {
  cublasLtMatmulPreference_t made = nullptr;
  require_success(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  Preference preference(made);
  const std::uint64_t bytes = workspace_bytes;
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes);
  // Of one piece, or in pieces of the computing type; not in place or in the result's type.
  const std::uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(preference, attribute, alignment_bytes);
  return preference;
}

}  // namespace kiln::cublaslt
