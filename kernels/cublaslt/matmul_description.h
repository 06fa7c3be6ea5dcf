// One product of linear as cuBLASLt is asked for it. Making it needs no device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cublasLt.h>
#include <memory>
#include <string_view>
#include <type_traits>

#include "engine/core/dtype.h"
#include "kernels/common/linear_matmul.h"

namespace kiln::cublaslt {

// Throws Error (io) with cuBLASLt's name of the status.
void require_success(cublasStatus_t status, std::string_view what);

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const {
    static_cast<void>(destroy(object));
  }
};
template <class Handle, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

// How f32 is multiplied. 16-bit operands are always multiplied as they are; all sums are f32.
enum class FloatMath { fp32, tf32 };

struct MatmulDescription {
  // All operands, bias too, are of `dtype`: f32, f16 or bf16. Throws Error (unsupported) otherwise.
  MatmulDescription(const LinearMatmul& matmul, MatmulEpilogue epilogue, DType dtype,
                    FloatMath math);

  Operation operation;
  Layout a, b, d;  // d is C's too: the result is replaced (beta 0) or added to (beta 1) in place
};

// What the heuristics may offer: at most so much working memory; parts of a sum only in f32, not in
// the result's type; operands aligned to 64 bytes, as Buffer's are, or less.
Preference preference_of(std::size_t workspace_bytes, std::uint32_t alignment_bytes);

}  // namespace kiln::cublaslt
