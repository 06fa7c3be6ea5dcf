// A buffer has one owner: it moves, it is not copied.
#include <utility>

#include "engine/core/buffer.h"

kiln::Buffer handed_over(kiln::Buffer& owner) {
#ifdef KILN_MUST_FAIL
  return owner;
#else
  return std::move(owner);
#endif
}
