// muon_step's working memory for one matrix, as every device lays it out: X, a second X (or its
// transpose), A, A A, and sums of squares.
#pragma once

#include <cstddef>

#include "kernels/include/muon_step.h"

namespace kiln {

template <class T>
struct MuonScratch {
  T *x, *other, *gram, *square;
  T* sums;  // of squares by rows: of u, then of w; then the two factors

  MuonScratch(std::byte* scratch, const MuonExtents& e) {
    const std::int64_t count = e.rows * e.columns, small = e.smaller() * e.smaller();
    x = reinterpret_cast<T*>(scratch);
    other = x + count;
    gram = other + count;
    square = gram + small;
    sums = square + small;
  }
  static std::int64_t elements(const MuonExtents& e) {
    return 2 * (e.rows * e.columns + e.smaller() * e.smaller() + e.rows + 1);
  }
};

}  // namespace kiln
