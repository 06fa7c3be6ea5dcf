// batchnorm_infer on a GPU: 8 bytes an element in f32, 4 in 16 bits; the four numbers of a channel
// come from the cache.
#include "kernels/common/activation_math.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/batchnorm_infer.h"

namespace kiln::cuda {
namespace {

template <class T>
struct BatchnormInfer {
  const Accumulated<T>*gamma, *beta, *mean, *variance;  // gamma and beta may be null
  std::int64_t channels;
  double epsilon;
  Activation activation;

  __device__ Accumulated<T> operator()(std::int64_t i, Accumulated<T> x) const {
    const std::int64_t c = i % channels;
    const double scale = (gamma == nullptr ? 1.0 : static_cast<double>(gamma[c])) /
                         std::sqrt(static_cast<double>(variance[c]) + epsilon);
    const double shift = (beta == nullptr ? 0.0 : static_cast<double>(beta[c])) -
                         static_cast<double>(mean[c]) * scale;
    const double value = static_cast<double>(x) * scale + shift;
    return activated(static_cast<Accumulated<T>>(value), activation);
  }
};

}  // namespace

void batchnorm_infer(Context& c, const BatchnormInferArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulated<T>;
    map_elements(c, "batchnorm_infer", a.x.element_count(), false, a.y.data<T>(),
                 BatchnormInfer<T>{.gamma = optional_data<A>(a.gamma),
                                   .beta = optional_data<A>(a.beta),
                                   .mean = a.running_mean.data<A>(),
                                   .variance = a.running_var.data<A>(),
                                   .channels = a.x.shape()[-1],
                                   .epsilon = a.epsilon,
                                   .activation = a.activation},
                 a.x.data<const T>());
  });
}

}  // namespace kiln::cuda
