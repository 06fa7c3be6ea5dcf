// Oracle of add_relu: a sum, perhaps through relu, and its gradient. Double, one thread, straight
// from the definition.
#pragma once

#include "tests/reference/relu.h"
#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values add(const Values& a, const Values& b) {
  Values y;
  for (std::size_t i = 0; i < a.size(); ++i) y.push_back(a[i] + b[i]);
  return y;
}
inline Values add_relu(const Values& a, const Values& b) { return relu(add(a, b)); }

}  // namespace kiln::reference
