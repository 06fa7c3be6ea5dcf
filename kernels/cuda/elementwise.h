// What the elementwise kernels share.
#pragma once

#include <utility>

#include "kernels/cuda/storage.h"
#include "kernels/include/grad_write.h"

namespace kiln::cuda {

// to = value, or to += value, rounded once.
template <class T>
__device__ inline void write_gradient(T* to, Accumulated<T> value, bool add) {
  *to = stored<T>(add ? widened(*to) + value : value);
}

// The elements of an optional tensor, or null.
template <class T>
T* optional_data(const Tensor& tensor) {
  return tensor.empty() ? nullptr : tensor.data<T>();
}

// Calls f(T{}) with the storage type: f32, f64, f16 or bf16.
template <class F>
void visit_type(const Tensor& tensor, const F& f) {
  visit_storage(tensor.dtype(), f);
}

// out[i] (+)= f(i, in_0[i], in_1[i], ...) with widened inputs; the result is rounded once. `packs`
// threads do kPack neighbours each, the others one element of what is left.
template <class T, class In, int inputs, class F>
struct Elementwise {
  static constexpr int kPack = static_cast<int>(16 / sizeof(T));
  const In* in[inputs];
  T* out;
  F f;
  bool add;
  std::int64_t packs;

  __device__ void operator()(std::int64_t thread) const {
    if (thread < packs)
      run<kPack>(thread * kPack, std::make_integer_sequence<int, inputs>{});
    else
      run<1>(packs * kPack + thread - packs, std::make_integer_sequence<int, inputs>{});
  }

 private:
  template <int count, int... k>
  __device__ void run(std::int64_t first, std::integer_sequence<int, k...>) const {
    const Pack<In, count> from[] = {load_pack<count>(in[k] + first)...};
    Pack<T, count> to{};
    if (add) to = load_pack<count>(out + first);
    for (int i = 0; i < count; ++i) {
      const Accumulated<T> value = f(first + i, widened(from[k].at[i])...);
      to.at[i] = stored<T>(add ? widened(to.at[i]) + value : value);
    }
    store_pack(out + first, to);
  }
};

// Queues the above for `count` elements: in packs of 16 bytes of output where every pointer allows
// it, and the tail one by one. `out` may be one of `in`. F is a struct with
// `__device__ A operator()(std::int64_t i, A...) const`, A being Accumulated<T>.
template <class T, class F, class In, class... Others>
void map_elements(Context& c, const char* name, std::int64_t count, bool add, T* out, const F& f,
                  const In* in, const Others*... others) {
  using Body = Elementwise<T, In, 1 + static_cast<int>(sizeof...(Others)), F>;
  constexpr int kPack = Body::kPack;
  const bool fit =
      packs_fit<T, kPack>(out) && packs_fit<In, kPack>(in) && (packs_fit<In, kPack>(others) && ...);
  const std::int64_t packs = fit ? count / kPack : 0;
  map(c, name, packs + count - packs * kPack, Body{{in, others...}, out, f, add, packs});
}

}  // namespace kiln::cuda
