// Small files that ask for much: the limits hold before time and memory are spent.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zlib.h>

#include "engine/image/image_codec.h"
#include "engine/image/png_chunks.h"
#include "tests/data/support.h"

namespace kiln {
namespace {

using Bytes = std::vector<std::uint8_t>;

void append(Bytes& out, std::initializer_list<int> bytes) {
  for (const int b : bytes) out.push_back(static_cast<std::uint8_t>(b));
}

std::span<const std::byte> view(const Bytes& bytes) { return std::as_bytes(std::span(bytes)); }

// Bits from the highest one of a byte on.
void append_bits(Bytes& out, const std::string& bits) {
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (i % 8 == 0) out.push_back(0);
    if (bits[i] == '1') out.back() = static_cast<std::uint8_t>(out.back() | 0x80 >> i % 8);
  }
}

// A grey progressive JPEG whose every block is zero: one scan of the first coefficients, then scans
// of a few bytes that each pass over all the others.
Bytes jpeg_of_scans(int width, int height, int scans) {
  Bytes out;
  append(out, {0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0});  // a table of ones
  out.insert(out.end(), 64, 1);
  append(out,
         {0xFF, 0xC2, 0, 11, 8, height >> 8, height & 255, width >> 8, width & 255, 1, 1, 0x11, 0});
  for (const int table : {0x00, 0x10}) {  // one code of one bit: no difference, or a run of blocks
    append(out, {0xFF, 0xC4, 0, 20, table, 1});
    out.insert(out.end(), 15, 0);
    append(out, {table == 0 ? 0 : 0xE0});
  }
  const int blocks = ((width + 7) / 8) * ((height + 7) / 8);
  append(out, {0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0});
  append_bits(out, std::string(static_cast<std::size_t>(blocks), '0'));
  // A run's code, and 14 bits that say by how much it is longer than 2^14.
  constexpr int kRun = (1 << 14) + 0b10101010101010;
  std::string runs;
  for (int done = 0; done < blocks; done += kRun) runs += "010101010101010";
  for (int i = 1; i < scans; ++i) {
    append(out, {0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 63, 0});
    append_bits(out, runs);
  }
  append(out, {0xFF, 0xD9});
  return out;
}

TEST(ImageBombs, ScansOfAJpegAreLimited) {
  const auto decode = [](int side, int scans, const ImageLimits& limits) {
    return decode_image(view(jpeg_of_scans(side, side, scans)), "p.jpg", 1, limits);
  };
  const ImageLimits limits{.max_side = 256, .max_pixels = 256 * 256};
  // The smaller the picture, the more scans may it have; libjpeg-turbo itself stops at 500.
  test::expect_error([&] { decode(256, 17, limits); }, {"p.jpg", "in 17 scans", "baseline"});
  test::expect_error([&] { decode(64, 2000, limits); }, {"p.jpg", "in 2000 scans"});
  EXPECT_THROW(decode(256, 17, limits), ImageTooLarge);
  test::expect_error([&] { decode(16, 2000, limits); }, {"p.jpg", "damaged"});
}

TEST(ImageBombs, AJpegOfAFewScansIsDecoded) {
  for (const int scans : {1, 2, 16}) {
    const Image image = decode_image(view(jpeg_of_scans(16, 16, scans)), "p.jpg", 1);
    EXPECT_EQ(image.bytes, Bytes(256, 128)) << scans;
  }
}

void append_chunk(Bytes& out, const std::string& type, const Bytes& data) {
  const auto number = [&out](std::size_t value) {
    for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::uint8_t>(value >> shift));
  };
  number(data.size());
  const std::size_t from = out.size();
  out.insert(out.end(), type.begin(), type.end());
  out.insert(out.end(), data.begin(), data.end());
  number(::crc32(0, out.data() + from, static_cast<uInt>(out.size() - from)));
}

Bytes packed(const Bytes& data) {
  uLongf size = ::compressBound(data.size());
  Bytes out(size);
  EXPECT_EQ(::compress2(out.data(), &size, data.data(), data.size(), 9), Z_OK);
  out.resize(size);
  return out;
}

// A grey picture of 1x1 whose only pixel is 77, behind the given chunks.
Bytes png_with(const std::string& type, const Bytes& data, int count) {
  Bytes out = {0x89, 'P', 'N', 'G', 13, 10, 26, 10};
  append_chunk(out, "IHDR", {0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0});
  for (int i = 0; i < count; ++i) append_chunk(out, type, data);
  append_chunk(out, "IDAT", packed({0, 77}));
  append_chunk(out, "IEND", {});
  return out;
}

// The most memory that this process ever had, in MB.
long peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

TEST(ImageBombs, TextsOfAPngAreNotUnpacked) {
  // 7.9 MB of zeros, in 8 KB; libpng takes chunks of up to 8 MB.
  Bytes text = {'a', 0, 0};
  const Bytes zeros = packed(Bytes(7'900'000, 'z'));
  text.insert(text.end(), zeros.begin(), zeros.end());
  const Bytes bomb = png_with("zTXt", text, 60);
  ASSERT_LT(bomb.size(), 600'000u);
  const long before = peak_memory();
  const Image image = decode_image(view(bomb), "p.png");
  EXPECT_EQ(image.bytes, Bytes{77});
  EXPECT_LT(peak_memory() - before, 50);
}

TEST(ImageBombs, ChunksThatNoPixelNeedsAreLeftOut) {
  std::vector<std::byte> kept;
  const Bytes plain = png_with("", {}, 0);
  for (const char* type : {"tEXt", "zTXt", "iTXt", "sPLT", "eXIf", "vpAg", "fdAT"}) {
    const Bytes file = png_with(type, {1, 2, 3}, 5);
    const auto left = image_detail::without_other_chunks(view(file), kept);
    EXPECT_TRUE(std::ranges::equal(left, view(plain))) << type;
  }
  for (const char* type : {"gAMA", "sRGB", "tRNS", "iCCP", "PLTE", "XXXX"}) {
    const Bytes file = png_with(type, {1, 2, 3}, 1);
    EXPECT_EQ(image_detail::without_other_chunks(view(file), kept).data(), view(file).data());
  }
}

TEST(ImageBombs, CutAndLyingChunksAreLeftToTheDecoder) {
  std::vector<std::byte> kept;
  const Bytes file = png_with("tEXt", {1, 2, 3}, 3);
  const Bytes plain = png_with("", {}, 0);
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto left = image_detail::without_other_chunks(view(file).first(size), kept);
    EXPECT_LE(left.size(), size);
    // The end's chunk may be missing: every pixel is there.
    if (size > 8 && size + 12 < file.size()) {
      test::expect_error([&] { decode_image(view(file).first(size), "p.png"); },
                         {"p.png", "damaged"});
    }
  }
  Bytes lie = file;
  lie[33] = 0xFF;  // the first text claims 4 GB
  EXPECT_EQ(image_detail::without_other_chunks(view(lie), kept).size(), 33u);
  test::expect_error([&] { decode_image(view(lie), "p.png"); }, {"damaged"});
}

TEST(ImageBombs, TheLengthOfAPngChunkTakesNoMemory) {
  const long before = peak_memory();
  for (const char* type : {"PLTE", "XXXX", "IDAT", "tRNS", "gAMA", "iCCP", "zTXt"})
    for (const int first : {0x20, 0x7F, 0xFF}) {
      Bytes lie = png_with(type, {1, 2, 3}, 1);
      lie[33] = static_cast<std::uint8_t>(first);  // 0.5 to 4 GB
      test::expect_error([&] { decode_image(view(lie), "p.png"); }, {"p.png", "damaged"});
    }
  EXPECT_LT(peak_memory() - before, 50);
}

}  // namespace
}  // namespace kiln
