// The sizes that linear and linear_grad are tested on.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/kernels/conv2d_cases.h"

namespace kiln::test {

struct LinearCase {
  std::int64_t n, i, o;
};

inline std::vector<LinearCase> linear_cases() {
  return {{1, 1, 1},    {1, 400, 120}, {4, 400, 120}, {4, 120, 84},  {4, 84, 10},    {3, 5, 7},
          {16, 84, 10}, {2, 17, 33},   {7, 320, 50},  {64, 120, 84}, {65, 84, 10},   {33, 50, 19},
          {128, 31, 5}, {5, 512, 10},  {24, 7, 100},  {12, 16, 16},  {32, 400, 120}, {17, 30, 41}};
}

}  // namespace kiln::test
