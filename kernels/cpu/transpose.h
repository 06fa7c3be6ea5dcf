// A dense transpose by 4 x 4 blocks of 128-bit vectors, which every instruction set here has.
#pragma once

#include <cstdint>
#include <cstring>

namespace kiln::cpu {

// to[j*to_step + i] = from[i*from_step + j] for i < rows, j < columns. No overlap.
inline void transpose(const float* from, std::int64_t from_step, std::int64_t rows,
                      std::int64_t columns, float* to, std::int64_t to_step) {
  using Four = float __attribute__((vector_size(16)));
  std::int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    std::int64_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      Four a, b, c, d;
      std::memcpy(&a, from + i * from_step + j, sizeof a);
      std::memcpy(&b, from + (i + 1) * from_step + j, sizeof b);
      std::memcpy(&c, from + (i + 2) * from_step + j, sizeof c);
      std::memcpy(&d, from + (i + 3) * from_step + j, sizeof d);
      const Four ab01 = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const Four ab23 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Four cd01 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const Four cd23 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      const Four column[4] = {__builtin_shufflevector(ab01, cd01, 0, 1, 4, 5),
                              __builtin_shufflevector(ab01, cd01, 2, 3, 6, 7),
                              __builtin_shufflevector(ab23, cd23, 0, 1, 4, 5),
                              __builtin_shufflevector(ab23, cd23, 2, 3, 6, 7)};
      for (int u = 0; u < 4; ++u) std::memcpy(to + (j + u) * to_step + i, &column[u], sizeof(Four));
    }
    for (; j < columns; ++j)
      for (int u = 0; u < 4; ++u) to[j * to_step + i + u] = from[(i + u) * from_step + j];
  }
  for (; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) to[j * to_step + i] = from[i * from_step + j];
}

}  // namespace kiln::cpu
