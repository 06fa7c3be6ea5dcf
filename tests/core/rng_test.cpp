#include "engine/core/rng.h"

#include <gtest/gtest.h>
#include <vector>

namespace kiln {
namespace {

// Known answers for Philox4x32-10 published with Random123 (file kat_vectors).
TEST(Philox, MatchesThePublishedVectors) {
  const PhiloxBlock zero = philox4x32({{0, 0, 0, 0}}, 0, 0);
  EXPECT_EQ(zero.word[0], 0x6627e8d5u);
  EXPECT_EQ(zero.word[1], 0xe169c58du);
  EXPECT_EQ(zero.word[2], 0xbc57ac4cu);
  EXPECT_EQ(zero.word[3], 0x9b00dbd8u);
  const PhiloxBlock pi =
      philox4x32({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0xa4093822u, 0x299f31d0u);
  EXPECT_EQ(pi.word[0], 0xd16cfe09u);
  EXPECT_EQ(pi.word[1], 0x94fdccebu);
  EXPECT_EQ(pi.word[2], 0x5001e420u);
  EXPECT_EQ(pi.word[3], 0x24126ea1u);
}

TEST(RandomSequence, BoundedNumbersAreUniform) {
  RandomSequence sequence(7, RandomStream::shuffle, 0);
  std::vector<int> counts(10, 0);
  for (int i = 0; i < 100000; ++i) ++counts[sequence.next_below(10)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);  // 5 standard deviations
}

TEST(RandomSequence, StreamsAndEpochsDiffer) {
  RandomSequence a(7, RandomStream::shuffle, 0), b(7, RandomStream::augment, 0),
      c(7, RandomStream::shuffle, 1);
  const std::uint32_t first = a.next_u32();
  EXPECT_NE(first, b.next_u32());
  EXPECT_NE(first, c.next_u32());
}

}  // namespace
}  // namespace kiln
