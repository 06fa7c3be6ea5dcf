// Tensor cores and asynchronous copies: one function an instruction of PTX, and the same on the
// host (kernels/emu/tensor_core.h, where the layout of the fragments is written down). They need
// compute capability 8.0. All 32 lanes of a warp call mma and ldmatrix together.
//
// Source    PTX ISA, "Warp-level matrix multiply-accumulate instructions" and "cp.async".
#pragma once

#include "engine/core/half.h"
#include "kernels/cuda/gpu.h"
#if !defined(__CUDACC__)
#include "kernels/emu/tensor_core.h"
#endif

namespace kiln::cuda {

#if defined(__CUDACC__)

// An address inside shared memory, as the instructions below want it.
__device__ inline std::uint32_t shared_address(const void* place) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(place));
}

// sum += A B: A 16x16, B 16x8 of T (Float16 or BFloat16), sums f32.
template <class T>
__device__ inline void mma_m16n8k16(float (&sum)[4], const std::uint32_t (&a)[4],
                                    const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, Float16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// sum += A B: A 16x8, B 8x8 of tf32, of which the unit reads the upper 19 bits.
__device__ inline void mma_m16n8k8_tf32(float (&sum)[4], const std::uint32_t (&a)[4],
                                        const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8x8 matrices of 16-bit elements; lane 8 i + j gives the address of row j of matrix i.
template <bool transposed>
__device__ inline void ldmatrix_x4(std::uint32_t (&to)[4], const void* row) {
  const std::uint32_t from = shared_address(row);
  if constexpr (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
}

// Begins to copy 16 bytes into shared memory; `reads` false writes zeros and reads nothing, but
// `from` must be an address of the tensor all the same.
__device__ inline void cp_async_16(void* to, const void* from, bool reads) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(reads ? 16 : 0)
               : "memory");
}
// The copies since the last commit become a group.
__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for this thread's groups but the last `pending`. Others see the bytes after a barrier.
template <int pending>
__device__ inline void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

#else

using emu::ldmatrix_x4;
using emu::mma_m16n8k16;
using emu::mma_m16n8k8_tf32;

inline void cp_async_16(void* to, const void* from, bool reads) {
  emu::async_copies().issue(to, reads ? from : nullptr);
}
inline void cp_async_commit() { emu::async_copies().commit(); }
template <int pending>
void cp_async_wait() {
  emu::async_copies().wait(pending);
}

#endif

}  // namespace kiln::cuda
