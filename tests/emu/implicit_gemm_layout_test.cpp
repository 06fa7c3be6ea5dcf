// The banks of shared memory that the tiles' accesses touch, computed; and the division by
// multiplication.
#include "kernels/cuda/implicit_gemm_layout.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

#include "kernels/cuda/fast_divide.h"

namespace kiln::cuda {
namespace {

// Threads `begin` to `begin` + 7 of an access of 16 bytes go out together; free of conflicts when
// they touch eight different groups of four banks.
template <class OffsetOf>
bool conflict_free(const OffsetOf& offset_of, int begin) {
  std::set<int> groups;
  for (int i = begin; i < begin + 8; ++i) groups.insert(offset_of(i) / 16 % 8);
  return groups.size() == 8;
}

template <class Layout>
void expect_whole() {
  std::set<int> offsets;
  for (int line = 0; line < Layout::kLines; ++line)
    for (int chunk = 0; chunk < Layout::kChunks; ++chunk) {
      const int offset = Layout::offset(line, chunk);
      EXPECT_TRUE(offset >= 0 && offset < Layout::kBytes && offset % 16 == 0);
      offsets.insert(offset);
    }
  EXPECT_EQ(offsets.size(), static_cast<std::size_t>(Layout::kLines * Layout::kChunks));
}

template <class Layout, int extent>
void expect_conflict_free() {
  expect_whole<Layout>();
  for (int begin = 0; begin < Layout::kLines * Layout::kChunks; begin += 8)
    EXPECT_TRUE(conflict_free(
        [](int i) { return Layout::offset(i / Layout::kChunks, i % Layout::kChunks); }, begin))
        << "filling, chunk " << begin;
  for (int first = 0; first < extent; first += 16)
    for (int half = 0; half < 2; ++half)
      for (int begin = 0; begin < 32; begin += 8)
        EXPECT_TRUE(conflict_free(
            [=](int lane) { return Layout::fragment_offset(first, half, lane); }, begin))
            << "ldmatrix at " << first << ", half " << half << ", lane " << begin;
}

TEST(ImplicitGemmLayout, FillingAndLdmatrixMeetNoBankConflict) {
  expect_conflict_free<TileLayout<true, 64>, 64>();
  expect_conflict_free<TileLayout<true, 128>, 128>();
  expect_conflict_free<TileLayout<false, 64>, 64>();
  expect_conflict_free<TileLayout<false, 128>, 128>();
}

TEST(ImplicitGemmLayout, WithoutThePermutationThereWouldBeConflicts) {
  EXPECT_FALSE(conflict_free([](int line) { return line * 64; }, 0));   // depth contiguous
  EXPECT_FALSE(conflict_free([](int line) { return line * 128; }, 0));  // extent contiguous
}

TEST(FastDivide, EqualsTheDivision) {
  for (const std::uint32_t d : {1u, 2u, 3u, 7u, 9u, 15u, 49u, 225u, 256u, 641u, 65535u, 65537u,
                                1000003u, (1u << 30) - 1, (1u << 30) + 1, 0x7fffffffu}) {
    const FastDivide by(d);
    for (std::uint64_t multiple = 0; multiple < 0x80000000u;
         multiple += std::max<std::uint64_t>(d, 0x7fffffu / d * d))
      for (const std::uint64_t n : {multiple, multiple + 1, multiple + d - 1}) {
        const std::uint64_t dividend = std::min<std::uint64_t>(n, 0x7fffffffu);
        ASSERT_EQ(by.quotient(static_cast<std::uint32_t>(dividend)), dividend / d) << d;
      }
    ASSERT_EQ(by.quotient(0x7fffffffu), 0x7fffffffu / d);
  }
}

}  // namespace
}  // namespace kiln::cuda
