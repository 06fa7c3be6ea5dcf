// batchnorm_infer on a GPU: 8 bytes an element in f32, 4 in 16 bits, and 2 operations; a thread
// computes the two numbers of a channel once, in double.
#include "kernels/common/activation_math.h"
#include "kernels/cuda/batchnorm_rows.h"
#include "kernels/include/batchnorm_infer.h"

namespace kiln::cuda {
namespace {

// y = act((x - mean) scale + beta)
template <class T>
struct BatchnormInfer {
  using A = Accumulated<T>;
  const T* x;
  T* y;
  const A *gamma, *beta, *mean, *variance;  // gamma and beta may be null
  double epsilon;
  Activation activation;

  template <int count>
  struct Own {
    A mean[count];
    Line<A> line[count];
  };
  template <int count>
  __device__ Own<count> own(std::int64_t channel) const {
    Own<count> all;
    for (int k = 0; k < count; ++k) {
      const std::int64_t c = channel + k;
      const double scale = (gamma == nullptr ? 1.0 : static_cast<double>(gamma[c])) /
                           std::sqrt(static_cast<double>(variance[c]) + epsilon);
      all.mean[k] = mean[c];
      all.line[k] = {static_cast<A>(scale), beta == nullptr ? A(0) : beta[c]};
    }
    return all;
  }
  template <int count>
  __device__ void map(const Own<count>& own, std::int64_t i) const {
    store_pack(y + i, normalised(load_pack<count>(x + i), own.mean, own.line, activation));
  }
};

}  // namespace

void batchnorm_infer(Context& c, const BatchnormInferArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulated<T>;
    const T* x = a.x.data<T>();
    T* y = a.y.data<T>();
    map_rows<T>(c, "batchnorm_infer", a.x.shape(),
                BatchnormInfer<T>{.x = x,
                                  .y = y,
                                  .gamma = optional_data<A>(a.gamma),
                                  .beta = optional_data<A>(a.beta),
                                  .mean = a.running_mean.data<A>(),
                                  .variance = a.running_var.data<A>(),
                                  .epsilon = a.epsilon,
                                  .activation = a.activation},
                x, y);
  });
}

}  // namespace kiln::cuda
