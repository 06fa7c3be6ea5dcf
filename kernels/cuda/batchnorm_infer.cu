// batchnorm_infer on a GPU: one thread an element; the four numbers of a channel come from the
// cache.
#include "kernels/common/activation_math.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/batchnorm_infer.h"

namespace kiln::cuda {
namespace {

template <class T>
struct BatchnormInfer {
  const T *x, *gamma, *beta, *mean, *variance;  // gamma and beta may be null
  T* y;
  std::int64_t channels;
  double epsilon;
  Activation activation;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t c = i % channels;
    const double scale = (gamma == nullptr ? 1.0 : static_cast<double>(gamma[c])) /
                         std::sqrt(static_cast<double>(variance[c]) + epsilon);
    const double shift = (beta == nullptr ? 0.0 : static_cast<double>(beta[c])) -
                         static_cast<double>(mean[c]) * scale;
    y[i] = activated(static_cast<T>(static_cast<double>(x[i]) * scale + shift), activation);
  }
};

}  // namespace

void batchnorm_infer(Context& c, const BatchnormInferArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "batchnorm_infer", a.x.element_count(),
        BatchnormInfer<T>{.x = a.x.data<T>(),
                          .gamma = optional_data<T>(a.gamma),
                          .beta = optional_data<T>(a.beta),
                          .mean = a.running_mean.data<T>(),
                          .variance = a.running_var.data<T>(),
                          .y = a.y.data<T>(),
                          .channels = a.x.shape()[-1],
                          .epsilon = a.epsilon,
                          .activation = a.activation});
  });
}

}  // namespace kiln::cuda
