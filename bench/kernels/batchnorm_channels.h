// What the benchmarks of batch normalisation share.
#pragma once

#include <algorithm>

#include "bench/kernels/verify.h"
#include "kernels/include/batchnorm_grad.h"
#include "kernels/include/batchnorm_train.h"
#include "tests/reference/gelu.h"
#include "tests/reference/relu.h"

namespace kiln::bench {

// Per-channel tensors and scratch memory of one case.
struct Channels {
  OwnedTensor gamma, beta, mean, inv_std, running_mean, running_var, dgamma, dbeta, scratch;

  Channels(const Context& c, const Shape& x)
      : gamma(random_tensor({x[-1]}, DType::f32, 2, 0.5, 2)),
        beta(random_tensor({x[-1]}, DType::f32, 3)),
        mean({x[-1]}, DType::f32),
        inv_std({x[-1]}, DType::f32),
        running_mean(random_tensor({x[-1]}, DType::f32, 4)),
        running_var(random_tensor({x[-1]}, DType::f32, 5, 0.5, 2)),
        dgamma({x[-1]}, DType::f32),
        dbeta({x[-1]}, DType::f32),
        scratch({static_cast<std::int64_t>(
                    std::max(batchnorm_train_scratch_bytes(c, x, element_type()),
                             batchnorm_grad_scratch_bytes(c, x, element_type())))},
                DType::u8) {}
  std::byte* scratch_data() const { return static_cast<std::byte*>(scratch.view().raw()); }
};

constexpr double kEpsilon = 1e-5;
constexpr double kGeluFlops = 78;  // of one element: bench/kernels/gelu_bench.cpp

// A case for every activation and every shape. `make(context, shape, activation)`.
template <class Make>
void add_batchnorm_cases(const char* op, const Make& make) {
  for (const auto& [name, shape] : activations())
    for (const Activation activation : {Activation::relu, Activation::gelu})
      add_case(op, name + (activation == Activation::gelu ? "/gelu" : ""), shape[0],
               [=, s = shape](Context& c, std::int64_t n) {
                 return make(c, with_count(s, n), activation);
               });
}

inline Values activated_values(const Values& x, Activation activation) {
  return activation == Activation::gelu ? reference::gelu(x) : reference::relu(x);
}

inline void run_batchnorm_train(Context& c, const OwnedTensor& x, const OwnedTensor& y,
                                const Channels& k, Activation activation) {
  batchnorm_train(c, {.x = x,
                      .gamma = k.gamma,
                      .beta = k.beta,
                      .y = y,
                      .saved_mean = k.mean,
                      .saved_inv_std = k.inv_std,
                      .running_mean = k.running_mean,
                      .running_var = k.running_var,
                      .epsilon = kEpsilon,
                      .activation = activation,
                      .scratch = k.scratch_data()});
}

}  // namespace kiln::bench
