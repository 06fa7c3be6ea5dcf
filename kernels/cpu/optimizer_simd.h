// Optimizer updates of flat f32 arrays, one pass over memory. The numbers are the ops' arguments
// cast to float as PyTorch casts them.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace kiln::cpu {

struct SgdNumbers {
  float minus_lr, momentum, undamped, decay;  // undamped: 1 - dampening
  bool use_momentum, use_decay, nesterov, first_step;
};
struct AdadeltaNumbers {
  float minus_lr, rho, rest, eps, decay;  // rest: 1 - rho
  bool use_decay;
};
struct AdamNumbers {
  float minus_step, rest1, beta2, rest2, root, eps, decay, shrink;
  bool use_decay, decoupled;
};

}  // namespace kiln::cpu

KILN_DECLARE_ISA(  // The gradient is grad, or grad + rest where rest is not null.
    void sgd_f32(const SgdNumbers& n, float* w, const float* grad, const float* rest, float* buffer,
                 std::int64_t count);
    void adadelta_f32(const AdadeltaNumbers& n, float* w, const float* grad, float* square_avg,
                      float* acc_delta, std::int64_t count);
    void adam_f32(const AdamNumbers& n, float* w, const float* grad, float* exp_avg,
                  float* exp_avg_sq, std::int64_t count);)
