// find_nonfinite on a GPU: 4 bytes an element read in f32, 2 in 16 bits, and one subtraction.
// Threads that find something all write the same word, in any order.
#include "kernels/cuda/elementwise.h"
#include "kernels/include/find_nonfinite.h"

namespace kiln::cuda {
namespace {

template <class T>
struct FindNonfinite {
  static constexpr int kPack = static_cast<int>(16 / sizeof(T));
  const T* x;
  float* flag;
  std::int64_t packs;

  __device__ void operator()(std::int64_t thread) const {
    if (thread < packs)
      look<kPack>(thread * kPack);
    else
      look<1>(packs * kPack + thread - packs);
  }
  template <int count>
  __device__ void look(std::int64_t first) const {
    const Pack<T, count> pack = load_pack<count>(x + first);
    bool finite = true;
    for (int i = 0; i < count; ++i) {
      const Accumulated<T> value = widened(pack.at[i]);
      finite = finite && value - value == 0;  // NaN otherwise
    }
    if (!finite) *flag = 1;
  }
};

}  // namespace

void find_nonfinite(Context& c, const FindNonfiniteArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    constexpr int kPack = FindNonfinite<T>::kPack;
    const T* x = a.x.data<const T>();
    const std::int64_t count = a.x.element_count(),
                       packs = packs_fit<T, kPack>(x) ? count / kPack : 0;
    map(c, "find_nonfinite", packs + count - packs * kPack,
        FindNonfinite<T>{x, a.flag.data<float>(), packs});
  });
}

}  // namespace kiln::cuda
