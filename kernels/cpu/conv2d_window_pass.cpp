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

// Output rows [begin, end) of one image and one group.
void run_band(const WindowPass& pass, const WindowSource& source, std::int64_t group,
              std::int64_t image, std::int64_t begin, std::int64_t end) {
  const GemmTile& tile = *pass.tile;
  const WindowAxis &h = pass.window.h, &w = pass.window.w;
  const std::int64_t taps_depth = pass.window.tap_count() * pass.depth;
  // Taps side by side in memory run as one longer sum.
  const bool touching = w.step == 1 && pass.depth == pass.window.channels;
  const float* panel = pass.panels + group * taps_depth * tile.padded(pass.columns);
  tile.for_each_block(pass.columns, [&](std::int64_t column, const GemmColumns& block) {
    GemmTileJob job;
    job.a_row = w.stride * pass.window.channels;
    job.a_outer = h.step * source.row_step;
    job.a_inner = w.step * pass.window.channels;
    job.inner_count = touching ? std::min<std::int64_t>(1, w.taps) : w.taps;
    job.depth = touching ? w.taps * pass.depth : pass.depth;
    job.b_step = block.width;
    job.b_inner = pass.depth * block.width;
    job.b_outer = w.taps * pass.depth * block.width;
    const std::int64_t channel = group * pass.columns + column;
    job.start = pass.start == nullptr ? nullptr : pass.start + channel;
    job.c_row = w.out_step * pass.out_channels;
    job.add_to_c = pass.add;
    job.relu = pass.relu;
    for (std::int64_t i = begin; i < end; ++i) {
      const Range taps = h.inner_taps(i);
      job.outer_count = taps.last - taps.first;
      job.b = panel + column * taps_depth + taps.first * job.b_outer;
      const std::int64_t row = h.low(i) + taps.first * h.step - source.first_row;
      const float* a = source.rows + row * source.row_step + group * pass.depth;
      const std::int64_t out_row = image * pass.out_height + h.out_first + i * h.out_step;
      for_each_row_block(w.outputs, block.max_rows, [&](std::int64_t j, std::int64_t count) {
        job.a = a + j * job.a_row;
        const std::int64_t pixel = out_row * pass.out_width + w.out_first + j * w.out_step;
        job.c = static_cast<std::byte*>(pass.out) +
                (pixel * pass.out_channels + channel) * tile.out_size;
        tile.run(job, block, count);
      });
    }
  });
}

}  // namespace

void run_window_pass(ThreadPool& pool, const WindowPass& pass) {
  const std::int64_t rows = pass.window.h.outputs;
  if (rows == 0 || pass.window.w.outputs == 0) return;
  const std::int64_t bands = band_count(pool, pass);
  const std::int64_t source_image =
      pass.window.h.source * pass.window.w.source * pass.window.channels;
  pool.parallel_for_threads(pass.image_count * bands, [&](std::int64_t piece, int thread) {
    const std::int64_t image = piece / bands, band = piece % bands;
    const std::int64_t begin = band * rows / bands, end = (band + 1) * rows / bands;
    const WindowSource source =
        pass.window.tap_count() == 0 ? WindowSource{.rows = pass.source}  // nothing is read
        : pass.narrow_source != nullptr
            ? widened_window_source(pass.window, pass.narrow_source + image * source_image, begin,
                                    end, pass.padded + thread * pass.padded_stride)
            : window_source(pass.window, pass.source + image * source_image, begin, end,
                            pass.padded + thread * pass.padded_stride);
    for (std::int64_t group = 0; group < pass.group_count; ++group)
      run_band(pass, source, group, image, begin, end);
  });
}

}  // namespace kiln::cpu
