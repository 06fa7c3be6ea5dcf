#include "engine/comm/buckets.h"

#include <gtest/gtest.h>
#include <random>
#include <set>

namespace kiln::test {
namespace {

struct Pieces {
  std::vector<GradientPiece> pieces;
  std::int64_t element_count = 0;
};

// Parameters of up to three million elements on boundaries of 16, two or three a layer.
Pieces random_pieces(std::mt19937& random) {
  Pieces all;
  const int count = std::uniform_int_distribution<>(1, 70)(random);
  for (int i = 0; i < count; ++i) {
    const double size = std::exp2(std::uniform_real_distribution<>(0, 21.5)(random));
    const auto elements = static_cast<std::int64_t>(size);
    all.pieces.push_back({.layer = "layer" + std::to_string(i / 3),
                          .first = all.element_count,
                          .end = all.element_count + elements});
    all.element_count += (elements + 15) / 16 * 16;
  }
  return all;
}

TEST(Buckets, CoverEveryElementOnceAndCutNoParameter) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    const Pieces all = random_pieces(random);
    const BucketPlan plan = plan_buckets(all.pieces, all.element_count);
    ASSERT_FALSE(plan.buckets.empty());
    std::int64_t end = 0;
    for (const Bucket& bucket : plan.buckets) {
      EXPECT_EQ(bucket.first, end);
      EXPECT_GT(bucket.count(), 0);
      end = bucket.end;
    }
    EXPECT_EQ(end, all.element_count);
    for (const GradientPiece& piece : all.pieces) {
      int homes = 0;
      for (const Bucket& bucket : plan.buckets)
        homes += bucket.first <= piece.first && piece.end <= bucket.end ? 1 : 0;
      EXPECT_EQ(homes, 1) << piece.layer;
    }
  }
}

TEST(Buckets, TheLastIsTheSmallest) {
  std::mt19937 random(2);
  int several = 0;
  for (int round = 0; round < 500; ++round) {
    const Pieces all = random_pieces(random);
    const BucketPlan plan = plan_buckets(all.pieces, all.element_count);
    several += plan.buckets.size() > 1 ? 1 : 0;
    for (const Bucket& bucket : plan.buckets)
      EXPECT_GE(bucket.count(), plan.buckets.back().count());
  }
  EXPECT_GT(several, 300);
}

TEST(Buckets, AreNoMoreThanAskedForAndOneMore) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    const Pieces all = random_pieces(random);
    const BucketPlan plan = plan_buckets(all.pieces, all.element_count, {.most_buckets = 4});
    EXPECT_LE(plan.buckets.size(), 5u);
  }
}

// A bucket is ready when as many layers as it counts have reported, each layer once.
TEST(Buckets, EveryLayerIsCountedOnceInEachOfItsBuckets) {
  std::mt19937 random(4);
  for (int round = 0; round < 200; ++round) {
    const Pieces all = random_pieces(random);
    const BucketPlan plan = plan_buckets(all.pieces, all.element_count);
    std::vector<int> counted(plan.buckets.size());
    std::set<std::string> layers;
    for (const GradientPiece& piece : all.pieces) layers.insert(piece.layer);
    for (const std::string& layer : layers) {
      const auto* entry = find_layer(plan, layer);
      ASSERT_NE(entry, nullptr) << layer;
      for (const int b : entry->buckets) ++counted[static_cast<std::size_t>(b)];
    }
    for (std::size_t b = 0; b < counted.size(); ++b)
      EXPECT_EQ(counted[b], plan.buckets[b].layer_count);
  }
}

TEST(Buckets, KnowNoLayerWithoutParameters) {
  const std::vector<GradientPiece> pieces = {{"fc", 0, 10}, {"conv1", 16, 20}};
  const BucketPlan plan = plan_buckets(pieces, 32);
  EXPECT_EQ(plan.buckets.size(), 1u);
  EXPECT_EQ(find_layer(plan, "relu"), nullptr);
  EXPECT_NE(find_layer(plan, "fc"), nullptr);
}

// LeNet: what its two convolutions compute hides the sum of all other gradients.
TEST(Buckets, TheFirstLayersAreApartInASmallNetwork) {
  const std::vector<GradientPiece> pieces = {{"fc3", 0, 10},          {"fc3", 16, 856},
                                             {"fc2", 864, 948},       {"fc2", 960, 11040},
                                             {"fc1", 11040, 11160},   {"fc1", 11168, 59168},
                                             {"conv2", 59168, 59184}, {"conv2", 59184, 61584},
                                             {"conv1", 61584, 61590}, {"conv1", 61600, 62050}};
  const BucketPlan plan = plan_buckets(pieces, 62064);
  ASSERT_EQ(plan.buckets.size(), 2u);
  EXPECT_EQ(plan.buckets[0].layer_count, 3);
  EXPECT_EQ(plan.buckets[1].first, 59168);
  EXPECT_EQ(plan.buckets[1].layer_count, 2);
}

// A layer's gradients are written together: a bucket with half of them would wait for the others.
TEST(Buckets, CutNoLayer) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    const Pieces all = random_pieces(random);
    for (const auto& [layer, buckets] : plan_buckets(all.pieces, all.element_count).layers)
      EXPECT_EQ(buckets.size(), 1u) << layer;
  }
}

TEST(Buckets, SmallNetworksHaveOne) {
  const std::vector<GradientPiece> pieces = {{"fc", 0, 60000}, {"conv1", 60000, 62006}};
  EXPECT_EQ(plan_buckets(pieces, 62006).buckets.size(), 1u);
  EXPECT_TRUE(plan_buckets({}, 0).buckets.empty());
}

// 8 MB of gradients: two or three, the last (of the first layers) smallest.
TEST(Buckets, TheUsualCase) {
  std::vector<GradientPiece> pieces;
  for (int i = 0; i < 20; ++i)
    pieces.push_back({"layer" + std::to_string(i), i * 100000, (i + 1) * 100000});
  const BucketPlan plan = plan_buckets(pieces, 2000000, {.most_buckets = 3});
  EXPECT_GE(plan.buckets.size(), 2u);
  EXPECT_LE(plan.buckets.size(), 4u);
  EXPECT_EQ(plan.buckets.back().count(), 100000);
}

}  // namespace
}  // namespace kiln::test
