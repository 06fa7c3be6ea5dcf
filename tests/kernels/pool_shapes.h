// Poolings that the pooling ops are tested on.
#pragma once

#include <string>
#include <vector>

#include "kernels/include/pool2d_shape.h"

namespace kiln::test {

inline std::vector<Pool2dShape> pool_shapes() {
  std::vector<Pool2dShape> shapes;
  for (const std::int64_t c : {1, 3, 6, 10, 16, 64}) {
    shapes.push_back({.n = 2, .h = 8, .w = 10, .c = c});
    shapes.push_back({.n = 1, .h = 5, .w = 7, .c = c});  // floor mode leaves a row and a column
    shapes.push_back({.n = 1,
                      .h = 7,
                      .w = 6,
                      .c = c,
                      .r = 3,
                      .s = 3,
                      .stride_h = 2,
                      .stride_w = 2,
                      .pad_h = 1,
                      .pad_w = 1});
    shapes.push_back({.n = 1,
                      .h = 6,
                      .w = 9,
                      .c = c,
                      .r = 2,
                      .s = 3,
                      .stride_h = 1,
                      .stride_w = 2,
                      .pad_h = 0,
                      .pad_w = 1});
  }
  shapes.push_back({.n = 1, .h = 1, .w = 1, .c = 1, .r = 1, .s = 1, .stride_h = 1, .stride_w = 1});
  shapes.push_back({.n = 3, .h = 4, .w = 4, .c = 17, .r = 4, .s = 4, .stride_h = 1, .stride_w = 1});
  shapes.push_back({.n = 8, .h = 28, .w = 28, .c = 6});
  shapes.push_back({.n = 3, .h = 9, .w = 9, .c = 5, .r = 2, .s = 2, .stride_h = 3, .stride_w = 4});
  return shapes;
}

inline std::string describe(const Pool2dShape& s) {
  return to_string(s.input()) + " window " + std::to_string(s.r) + "x" + std::to_string(s.s) +
         " stride " + std::to_string(s.stride_h) + "x" + std::to_string(s.stride_w) + " pad " +
         std::to_string(s.pad_h) + "x" + std::to_string(s.pad_w);
}

}  // namespace kiln::test
