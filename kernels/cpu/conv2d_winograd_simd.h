// The transforms of Winograd's algorithm F(4x4, 3x3), vectorised over channels. docs/math.md,
// "Winograd's algorithm", derives the matrices. Arithmetic and transformed tensors are f32; images
// and filters (T) are f32 or bf16, which is widened when read and rounded when written.
//
// A "slice" is one of the 36 places of a transformed 6x6 tile; transformed tensors are
// [36][rows][row_step] with slice_step floats from one slice to the next. Lanes behind the last
// channel of a row are neither read nor written.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace kiln::cpu {

// Of an image and of the tiles over one of its sides: tile (n, i, j), numbered in row-major order,
// begins at row 4 i + first_h and column 4 j + first_w of image n. What lies outside the image
// counts as zeros and is never written.
struct WinogradTiles {
  std::int64_t h, w, channels;
  std::int64_t first_h, first_w;
  std::int64_t tiles_h, tiles_w;  // of one image
};

// Where transformed tiles stand: that of tile `begin` in row 0.
struct WinogradRows {
  float* slices;
  std::int64_t slice_step, row_step;
};

// What becomes of an output besides the sum.
struct WinogradFinish {
  const float* start;  // [channels] or null
  bool add, relu;
};

}  // namespace kiln::cpu

// winograd_input: V = B^T d B of tiles [begin, end), d the 6x6 pixels from the tile's first on.
// winograd_output: y = A^T M A, the 4x4 pixels of tiles [begin, end).
// winograd_output_grad: dM = A dy A^T of tiles [begin, end), dy the tile's 4x4 pixels.
// winograd_filter: U = G g G^T of `count` channels: tap (r, s) at taps + (3 r + s) * tap_step.
// winograd_filter_grad: dg = G^T dU G, the other way; dU is the sum of `part_count` tensors
// part_step floats apart, added in their order; `add`: onto what stands there.
KILN_DECLARE_ISA(
    template <class T>
    void winograd_input(const WinogradTiles& tiles, const T* image, std::int64_t begin,
                        std::int64_t end, const WinogradRows& to);
    template <class T> void winograd_output(const WinogradTiles& tiles, const WinogradRows& from,
                                            const WinogradFinish& finish, std::int64_t begin,
                                            std::int64_t end, T* image);
    template <class T>
    void winograd_output_grad(const WinogradTiles& tiles, const T* image, std::int64_t begin,
                              std::int64_t end, const WinogradRows& to);
    template <class T>
    void winograd_filter(const T* taps, std::int64_t tap_step, std::int64_t count, float* slices,
                         std::int64_t slice_step);
    void winograd_filter_grad(const float* slices, std::int64_t slice_step, std::int64_t part_count,
                              std::int64_t part_step, std::int64_t count, bool add, float* taps,
                              std::int64_t tap_step);)
