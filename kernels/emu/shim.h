// The words of CUDA C++ that kiln's kernels use, on the host: the same .cu files compile with a
// plain C++ compiler and run thread by thread. Only kernels/cuda/gpu.h includes this file.
//
// Every thread of a block is a fiber with a stack of its own. A barrier puts a fiber to sleep until
// all threads of the block (or of the warp) stand at one; a block whose threads disagree is an
// error, where a GPU would hang or compute nonsense. One block runs at a time, so `__shared__`
// variables are static ones. What it cannot show: races inside a warp, the memory model, alignment.
// Tensor cores and asynchronous copies: kernels/emu/tensor_core.h, kernels/emu/async_copy.h.
//
// The reserved names are CUDA's own; no other header of a host build declares them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/emu/async_copy.h"

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

namespace kiln::emu {

// Where the running thread stands.
struct Position {
  dim3 thread_index, block_index, block_extent, grid_extent;
};
Position& position();

// A launch: `run` is called once for every thread.
struct Launch {
  const char* name = "";
  dim3 grid, block;
  bool cooperative = false;  // threads may meet at barriers
  void (*run)(const void* arguments) = nullptr;
  const void* arguments = nullptr;
};
// Throws std::logic_error naming the kernel where threads of a block or warp disagree on a barrier.
void run_launch(const Launch& launch);

void block_barrier();
void warp_barrier();
// One word for every lane of the calling thread's warp, on both sides of a warp_barrier().
std::uint64_t* warp_words();
unsigned lane();
// kBoardBytes for every lane of the calling thread's warp; two boards take turns.
inline constexpr std::size_t kBoardBytes = 64;
std::byte* next_board();
// Ends the launch: it throws std::logic_error "emu: kernel <name> <wrong>".
[[noreturn]] void fault(const char* wrong);
// Those of the calling thread.
AsyncCopies& async_copies();

// Every lane shows `value`; all lanes of the warp must call it. Returns that of lane `from`.
template <class T>
T exchange(T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);
  std::uint64_t* words = warp_words();
  std::memcpy(&words[lane()], &value, sizeof value);
  warp_barrier();
  T other;
  std::memcpy(&other, &words[from % 32], sizeof other);
  warp_barrier();
  return other;
}

}  // namespace kiln::emu

#define threadIdx (::kiln::emu::position().thread_index)
#define blockIdx (::kiln::emu::position().block_index)
#define blockDim (::kiln::emu::position().block_extent)
#define gridDim (::kiln::emu::position().grid_extent)

inline void __syncthreads() { kiln::emu::block_barrier(); }
inline void __syncwarp() { kiln::emu::warp_barrier(); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return kiln::emu::exchange(value, kiln::emu::lane() ^ static_cast<unsigned>(mask));
}
template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return kiln::emu::exchange(value, static_cast<unsigned>(from));
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
