// The tensor core's instructions on the host: what one warp does together, each lane a fiber. Which
// lane holds which element is the PTX ISA's ("Matrix Fragments for mma.m16n8k16" and "for
// mma.m16n8k8", "ldmatrix"). With g = lane / 4 and t = lane % 4, and two 16-bit elements a
// register:
//
//   m16n8k16  A register i: row g + 8 (i % 2), columns 2t + 8 (i / 2) and the next
//             B register i: rows 2t + 8 i and the next, column g
//   m16n8k8   A register i: row g + 8 (i % 2), column t + 4 (i / 2)
//             B register i: row t + 4 i, column g
//   both      C and D element i: row g + 8 (i / 2), column 2t + i % 2
//
// Products and their sum are formed in double and rounded to f32 once; a GPU adds in an order and
// with a rounding of its own, so results agree to f32's precision, not to the bit.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "engine/core/half.h"
#include "kernels/emu/shim.h"

namespace kiln::emu {

// What each lane shows the others of its warp in one instruction. A lane may not write the next
// one's board before the others have read this one's, so two boards take turns.
template <class Shown>
class Board {
 public:
  // Shows `own`; comes back when all lanes have.
  explicit Board(const Shown& own) : board_(next_board()) {
    static_assert(sizeof(Shown) <= kBoardBytes && std::is_trivially_copyable_v<Shown>);
    std::memcpy(board_ + lane() * kBoardBytes, &own, sizeof own);
    warp_barrier();
  }
  const Shown& of(unsigned other) const {
    return *reinterpret_cast<const Shown*>(board_ + other * kBoardBytes);
  }

 private:
  std::byte* board_;
};

template <int depth>
struct MmaOperands {
  float a[depth / 2], b[depth / 4];
};

// sum += A B for the calling lane's four elements; element(k) is the place of depth k among the
// lanes: which t of a quad holds it, and where.
template <int depth, class Lane, class InA, class InB>
void multiply_add(float (&sum)[4], const MmaOperands<depth>& own, const Lane& lane_of,
                  const InA& in_a, const InB& in_b) {
  const Board<MmaOperands<depth>> board(own);
  const unsigned group = lane() / 4, quad = lane() % 4;
  double total[4];
  for (int i = 0; i < 4; ++i) total[i] = static_cast<double>(sum[i]);
  for (unsigned k = 0; k < depth; ++k) {
    const auto& rows = board.of(group * 4 + lane_of(k));
    for (unsigned column = 0; column < 2; ++column) {
      const auto b = static_cast<double>(board.of((2 * quad + column) * 4 + lane_of(k)).b[in_b(k)]);
      total[column] += static_cast<double>(rows.a[in_a(0, k)]) * b;
      total[2 + column] += static_cast<double>(rows.a[in_a(1, k)]) * b;
    }
  }
  for (int i = 0; i < 4; ++i) sum[i] = static_cast<float>(total[i]);
}

template <class T>
void mma_m16n8k16(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  MmaOperands<16> own{};
  const auto element = [](std::uint32_t word, unsigned half) {
    return to_float(T{static_cast<std::uint16_t>(word >> 16 * half)});
  };
  for (unsigned i = 0; i < 8; ++i) own.a[i] = element(a[i / 2], i % 2);
  for (unsigned i = 0; i < 4; ++i) own.b[i] = element(b[i / 2], i % 2);
  multiply_add<16>(
      sum, own, [](unsigned k) { return k % 8 / 2; },
      [](unsigned half, unsigned k) { return 2 * (half + 2 * (k / 8)) + k % 2; },
      [](unsigned k) { return 2 * (k / 8) + k % 2; });
}

// The unit reads the upper 19 bits of each f32.
inline void mma_m16n8k8_tf32(float (&sum)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[2]) {
  MmaOperands<8> own{};
  for (unsigned i = 0; i < 4; ++i) own.a[i] = std::bit_cast<float>(a[i] & 0xFFFFE000u);
  for (unsigned i = 0; i < 2; ++i) own.b[i] = std::bit_cast<float>(b[i] & 0xFFFFE000u);
  multiply_add<8>(
      sum, own, [](unsigned k) { return k % 4; },
      [](unsigned half, unsigned k) { return half + 2 * (k / 4); },
      [](unsigned k) { return k / 4; });
}

// Four 8x8 matrices of 16-bit elements: lane 8 i + j gives the address of row j of matrix i, and
// register i of every lane receives row g, columns 2t and 2t + 1 of matrix i; transposed, rows 2t
// and 2t + 1 of column g.
template <bool transposed>
void ldmatrix_x4(std::uint32_t (&to)[4], const void* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0)
    fault("gives ldmatrix a row that is not aligned to 16 bytes");
  struct Row {
    std::uint16_t element[8];
  } own;
  std::memcpy(&own, row, sizeof own);
  const Board<Row> board(own);
  const unsigned group = lane() / 4, quad = lane() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    const auto element = [&](unsigned half) -> std::uint32_t {
      return transposed ? board.of(8 * i + 2 * quad + half).element[group]
                        : board.of(8 * i + group).element[2 * quad + half];
    };
    to[i] = element(0) | element(1) << 16;
  }
}

}  // namespace kiln::emu
