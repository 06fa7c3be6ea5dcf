// Oracle of batchnorm_apply: a line through every channel of [rows, C]. Double, one thread,
// straight from the definition.
#pragma once

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

// (x - mean) scale + shift
inline Values batchnorm_apply(const Values& x, const Values& mean, const Values& scale,
                              const Values& shift) {
  const std::size_t channels = mean.size();
  Values y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    y.push_back((x[i] - mean[c]) * scale[c] + shift[c]);
  }
  return y;
}

}  // namespace kiln::reference
