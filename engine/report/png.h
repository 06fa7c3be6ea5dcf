// Pictures in memory, as PNG, and the two sheets that kiln draws from them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/core/file.h"

namespace kiln {

// pixels: u8 [height, width, channel_count], rows from the top; 1 channel is grey, 3 are RGB.
struct Picture {
  int height = 0;
  int width = 0;
  int channel_count = 3;
  std::vector<std::uint8_t> pixels;

  bool empty() const { return pixels.empty(); }
};

// The PNG file's bytes. The picture must have 1 or 3 channels and height * width * channels bytes.
std::string encode_png(const Picture& picture);
// Encodes and writes atomically. Throws Error (io).
void write_png(const Path& path, const Picture& picture);

// "data:image/png;base64,..."
std::string png_data_uri(const Picture& picture);
std::string base64(std::string_view bytes);

// The picture with its longer edge brought down to `longest_edge` by averaging; a picture that is
// not larger comes back as it is.
Picture shrink(const Picture& picture, int longest_edge);

// Every pixel becomes a square of factor x factor pixels.
Picture enlarge(const Picture& picture, int factor);

// First-layer filters as a sheet, one tile a filter, in rows of about equal number.
// weights: f32 [K, R, S, C], C = 3 shown as colour; for another C the first three planes would
// mislead, so the mean over C is shown in grey. Each filter is scaled on its own so that zero is
// mid-grey and its largest magnitude reaches black or white. NaN shows as magenta.
struct FilterSheetOptions {
  int pixel_scale = 16;  // edge of one weight in the sheet
  int gap = 6;           // between tiles, and around the sheet
};
Picture tile_filters(std::span<const float> weights, int filter_count, int height, int width,
                     int channel_count, const FilterSheetOptions& options = {});

// One picture of a contact sheet. The frame is green for right, red for wrong, grey for unknown.
enum class Verdict { unknown, right, wrong };
struct SheetEntry {
  Picture picture;
  Verdict verdict = Verdict::unknown;
};
// Pictures side by side in `column_count` columns, each fitted into a square cell.
Picture contact_sheet(std::span<const SheetEntry> entries, int column_count, int cell_edge = 96);

}  // namespace kiln
