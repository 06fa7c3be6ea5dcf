#include <numeric>

#include "kernels/cpu/conv2d_f32.h"

namespace kiln::cpu {
namespace {

// Rows of output per piece of work. Pieces never share an output, so how many there are changes no
// bit; they are made a multiple of the thread count where there are few.
std::int64_t band_count(const ThreadPool& pool, const WindowPass& pass) {
  const std::int64_t rows = pass.window.h.outputs, threads = pool.thread_count();
  std::int64_t bands = (rows + pass.window.band_rows() - 1) / pass.window.band_rows();
  if (pass.image_count * bands >= 16 * threads) return bands;
  const std::int64_t even = threads / std::gcd(threads, pass.image_count);
  bands = (bands + even - 1) / even * even;
  return std::min(bands, rows);
}

// Output rows [begin, end) of some images, and what they read: that of the first image; the others
// stand image_step floats apart.
struct Piece {
  std::int64_t image = 0, image_count = 1, begin = 0, end = 0;
  WindowSource source;
  std::int64_t image_step = 0;
};

// The sum over taps and channels of a piece for one group and one block of columns.
struct BlockJob {
  const WindowPass& pass;
  const Piece& piece;
  const GemmColumns& block;
  const float* panel;           // of the block
  std::int64_t group, channel;  // of the block's first column in the output
  GemmTileJob job;

  BlockJob(const WindowPass& pass_, const Piece& piece_, std::int64_t group_, std::int64_t column,
           const GemmColumns& block_)
      : pass(pass_),
        piece(piece_),
        block(block_),
        panel(pass.panels + group_ * taps_depth() * pass.tile->padded(pass.columns) +
              column * taps_depth()),
        group(group_),
        channel(group_ * pass.columns + column) {
    const WindowAxis &h = pass.window.h, &w = pass.window.w;
    // Taps side by side in memory run as one longer sum.
    const bool touching = w.step == 1 && pass.depth == pass.window.channels;
    job.a_row = w.stride * pass.window.channels;
    job.a_outer = h.step * piece.source.row_step;
    job.a_inner = w.step * pass.window.channels;
    job.inner_count = touching ? std::min<std::int64_t>(1, w.taps) : w.taps;
    job.depth = touching ? w.taps * pass.depth : pass.depth;
    job.b_step = block.width;
    job.b_inner = pass.depth * block.width;
    job.b_outer = w.taps * pass.depth * block.width;
    job.start = pass.start == nullptr ? nullptr : pass.start + channel;
    job.relu = pass.relu;
  }

  std::int64_t taps_depth() const { return pass.window.tap_count() * pass.depth; }
  const float* source_row(std::int64_t image, std::int64_t row) const {
    return piece.source.rows + image * piece.image_step +
           (row - piece.source.first_row) * piece.source.row_step + group * pass.depth;
  }
  // Pixel j of output row i.
  std::byte* out(std::int64_t image, std::int64_t i, std::int64_t j) const {
    const WindowAxis &h = pass.window.h, &w = pass.window.w;
    const std::int64_t row = (piece.image + image) * pass.out_height + h.out_first + i * h.out_step;
    const std::int64_t pixel = row * pass.out_width + w.out_first + j * w.out_step;
    return static_cast<std::byte*>(pass.out) +
           (pixel * pass.out_channels + channel) * pass.tile->out_size;
  }

  // Row by row, without the taps above and below the source.
  void run(std::int64_t image) {
    const WindowAxis &h = pass.window.h, &w = pass.window.w;
    job.c_row = w.out_step * pass.out_channels;
    job.add_to_c = pass.add;
    for (std::int64_t i = piece.begin; i < piece.end; ++i) {
      const Range taps = h.inner_taps(i);
      job.outer_count = taps.last - taps.first;
      job.b = panel + taps.first * job.b_outer;
      const float* a = source_row(image, h.low(i) + taps.first * h.step);
      for_each_row_block(w.outputs, block.max_rows, [&](std::int64_t j, std::int64_t count) {
        job.a = a + j * job.a_row;
        job.c = out(image, i, j);
        pass.tile->run(job, block, count);
      });
    }
  }
};

// Each block of columns takes all images in turn, so that its weights are read from afar once.
void run_piece(const WindowPass& pass, const Piece& piece) {
  for (std::int64_t group = 0; group < pass.group_count; ++group)
    pass.tile->for_each_block(pass.columns, [&](std::int64_t column, const GemmColumns& block) {
      BlockJob job(pass, piece, group, column, block);
      for (std::int64_t image = 0; image < piece.image_count; ++image) job.run(image);
    });
}

// Points the piece to its images, or to copies of them.
void find_source(const WindowPass& pass, float* copies, Piece& piece) {
  const Window& window = pass.window;
  if (window.tap_count() == 0) {  // nothing is read
    piece.source.rows = pass.source;
    return;
  }
  const std::int64_t source_image = window.h.source * window.w.source * window.channels;
  const bool narrow = pass.narrow_source != nullptr;
  piece.image_step =
      narrow || window.needs_copy() ? window.padded_count(piece.end - piece.begin) : source_image;
  for (std::int64_t i = piece.image_count - 1; i >= 0; --i) {
    const std::int64_t from = (piece.image + i) * source_image;
    float* to = copies + i * piece.image_step;
    piece.source = narrow ? widened_window_source(window, pass.narrow_source + from, piece.begin,
                                                  piece.end, to)
                          : window_source(window, pass.source + from, piece.begin, piece.end, to);
  }
}

// As many as fit, and no more than leave each of several threads a few pieces.
std::int64_t images_at_once(const ThreadPool& pool, const WindowPass& pass) {
  constexpr std::int64_t kPieces = 4;
  const std::int64_t threads = pool.thread_count();
  const std::int64_t share = pass.image_count / (threads == 1 ? 1 : kPieces * threads);
  return std::clamp<std::int64_t>(share, 1, pass.window.images_at_once());
}

}  // namespace

void run_window_pass(ThreadPool& pool, const WindowPass& pass) {
  const std::int64_t rows = pass.window.h.outputs;
  if (rows == 0 || pass.window.w.outputs == 0) return;
  const std::int64_t bands = band_count(pool, pass), most = images_at_once(pool, pass);
  const std::int64_t groups = (pass.image_count + most - 1) / most;
  pool.parallel_for_threads(groups * bands, [&](std::int64_t index, int thread) {
    const std::int64_t group = index / bands, band = index % bands;
    Piece piece;
    piece.image = group * pass.image_count / groups;
    piece.image_count = (group + 1) * pass.image_count / groups - piece.image;
    piece.begin = band * rows / bands;
    piece.end = (band + 1) * rows / bands;
    find_source(pass, pass.padded + thread * pass.padded_stride, piece);
    run_piece(pass, piece);
  });
}

}  // namespace kiln::cpu
