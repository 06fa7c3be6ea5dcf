// Between what lies in memory and what is computed with: widened(value) and stored<T>(result).
// Under nvcc these are the hardware's conversions, on the host those of engine/core/half.h; both
// round to nearest, ties to even, so emu and GPU agree bit for bit but for the payload of a NaN.
//
// Pack: several neighbours at once. An elementwise op does little work for each byte, so its time
// is the memory's; 16 bytes a thread need a quarter (f32) or an eighth (16 bits) of the load and
// store instructions for the same bytes in flight.
#pragma once

#include "kernels/cuda/gpu.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace kiln::cuda {

__device__ inline float widened(std::uint8_t value) { return static_cast<float>(value); }
__device__ inline float widened(float value) { return value; }
__device__ inline double widened(double value) { return value; }
__device__ inline float widened(Float16 value) {
#if defined(__CUDACC__)
  return __half2float(__ushort_as_half(value.bits));
#else
  return to_float(value);
#endif
}
__device__ inline float widened(BFloat16 value) {
#if defined(__CUDACC__)
  return __bfloat162float(__ushort_as_bfloat16(value.bits));
#else
  return to_float(value);
#endif
}

// Rounded once.
template <class T>
__device__ inline T stored(Accumulated<T> value) {
  if constexpr (std::is_same_v<T, Float16>) {
#if defined(__CUDACC__)
    return {__half_as_ushort(__float2half_rn(value))};
#else
    return to_float16(value);
#endif
  } else if constexpr (std::is_same_v<T, BFloat16>) {
#if defined(__CUDACC__)
    return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#else
    return to_bfloat16(value);
#endif
  } else {
    return value;
  }
}

template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T at[count];
};

// Whether packs of `count` elements may be read and written there.
template <class T, int count>
bool packs_fit(const T* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % sizeof(Pack<T, count>) == 0;
}

template <int count, class T>
__device__ inline Pack<T, count> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, count>*>(from);
}
template <class T, int count>
__device__ inline void store_pack(T* to, const Pack<T, count>& pack) {
  *reinterpret_cast<Pack<T, count>*>(to) = pack;
}

// Calls run(std::integral_constant<int, count>) with the neighbouring channels that a thread takes:
// 16 bytes of T where the channels and each pointer's packs allow it, else one.
template <class T, class Run, class... P>
void with_channel_pack(std::int64_t channels, const Run& run, const P*... pointers) {
  constexpr int kPack = static_cast<int>(16 / sizeof(T));
  if (channels % kPack == 0 && (packs_fit<P, kPack>(pointers) && ...))
    run(std::integral_constant<int, kPack>{});
  else
    run(std::integral_constant<int, 1>{});
}

}  // namespace kiln::cuda
