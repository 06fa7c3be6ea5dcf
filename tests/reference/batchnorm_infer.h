// Oracle of batchnorm_infer: batch normalisation of [rows, C] by given statistics. Double, one
// thread, straight from the definition.
#pragma once

#include "tests/reference/batchnorm_train.h"
#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values batchnorm_infer(const Values& x, const BatchnormState& running, const Values& gamma,
                              const Values& beta, double epsilon) {
  return batchnorm_apply(x, running, gamma, beta, epsilon);
}

}  // namespace kiln::reference
