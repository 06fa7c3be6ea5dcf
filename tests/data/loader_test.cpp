#include "engine/data/loader.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>

#include "tests/data/support.h"

namespace kiln {
namespace {

// Everything that an epoch yields, copied.
struct Epoch {
  std::vector<std::int64_t> indices;
  std::vector<std::int32_t> labels;
  std::vector<std::uint8_t> images;
  std::vector<std::int64_t> counts;
  bool operator==(const Epoch&) const = default;
};

Epoch rest_of_epoch(Loader& loader) {
  Epoch epoch;
  while (const Batch* batch = loader.next()) {
    EXPECT_EQ(batch->labels.size(), static_cast<std::size_t>(batch->count));
    epoch.counts.push_back(batch->count);
    epoch.indices.insert(epoch.indices.end(), batch->indices.begin(), batch->indices.end());
    epoch.labels.insert(epoch.labels.end(), batch->labels.begin(), batch->labels.end());
    epoch.images.insert(epoch.images.end(), batch->images.begin(), batch->images.end());
  }
  return epoch;
}

Epoch epoch_of(const Dataset& dataset, const LoaderOptions& options, std::uint32_t epoch,
               std::int64_t first_batch = 0, std::int64_t seen = 0) {
  Loader loader(dataset, options);
  loader.start_epoch(epoch, first_batch, seen);
  return rest_of_epoch(loader);
}

Augmentation strong() {
  return {.crop_padding = 2,
          .padding = Augmentation::Padding::reflect,
          .flip = Augmentation::Flip::random,
          .cutout_side = 3};
}

TEST(Loader, WorkersNeverChangeWhatIsSeen) {
  const Dataset dataset = test::random_dataset(1003, 8, 8, 3);
  for (const std::int64_t batch_size : {1, 4, 64, 300, 2000}) {
    LoaderOptions options{.batch_size = batch_size, .seed = 9, .augmentation = strong()};
    const Epoch expected = epoch_of(dataset, options, 4);
    EXPECT_EQ(expected.labels.size(), 1003u);
    for (const int workers : {1, 3}) {
      options.workers = workers;
      EXPECT_EQ(epoch_of(dataset, options, 4), expected) << batch_size << " workers " << workers;
    }
  }
}

// Step by step the parts of the ranks, put together, are the samples that follow in the epoch's
// order; also where an epoch goes on within a step, and whoever assembles the batches.
TEST(Loader, RanksShareStepsOfAnySizeFromAnySample) {
  const Dataset dataset = test::random_dataset(203, 4, 4, 1);
  const Epoch whole = epoch_of(dataset, {.batch_size = 203, .seed = 5}, 2);
  for (const std::int64_t step_size : {1, 7, 24, 64, 203, 500})
    for (const int ranks : {1, 2, 3, 5})
      for (const std::int64_t seen : {std::int64_t{0}, step_size / 2, step_size - 1}) {
        const std::int64_t first = 203 / step_size / 2;
        std::vector<Epoch> parts;
        for (int rank = 0; rank < ranks; ++rank) {
          LoaderOptions options{.batch_size = 1, .seed = 5};
          options.rank = rank;
          options.rank_count = ranks;
          options.step_size = step_size;
          parts.push_back(epoch_of(dataset, options, 2, first, seen));
          options.workers = 2;
          EXPECT_EQ(epoch_of(dataset, options, 2, first, seen), parts.back());
        }
        std::vector<std::int64_t> together;
        std::vector<std::size_t> at(parts.size());
        for (std::size_t step = 0; step < parts[0].counts.size(); ++step)
          for (std::size_t rank = 0; rank < parts.size(); ++rank)
            for (std::int64_t i = 0; i < parts[rank].counts[step]; ++i)
              together.push_back(parts[rank].indices[at[rank]++]);
        const std::vector<std::int64_t> expected(
            whole.indices.begin() +
                static_cast<std::ptrdiff_t>(std::min<std::int64_t>(203, first * step_size + seen)),
            whole.indices.end());
        EXPECT_EQ(together, expected) << step_size << " ranks " << ranks << " seen " << seen;
      }
}

TEST(Loader, BatchSizeNeverChangesASample) {
  const Dataset dataset = test::random_dataset(101, 8, 8, 3);
  LoaderOptions options{.batch_size = 7, .seed = 9, .augmentation = strong()};
  const Epoch a = epoch_of(dataset, options, 2);
  options.batch_size = 50;
  const Epoch b = epoch_of(dataset, options, 2);
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.indices, b.indices);
}

TEST(Loader, AnEpochIsAPermutationOfItsOwn) {
  const Dataset dataset = test::random_dataset(500, 2, 2, 1);
  const LoaderOptions options{.batch_size = 32, .seed = 1};
  const Epoch first = epoch_of(dataset, options, 0), second = epoch_of(dataset, options, 1);
  EXPECT_NE(first.indices, second.indices);
  auto sorted = first.indices;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int64_t> all(500);
  std::iota(all.begin(), all.end(), std::int64_t{0});
  EXPECT_EQ(sorted, all);
  EXPECT_NE(first.indices, all);
  for (std::size_t i = 0; i < 500; ++i) {
    EXPECT_EQ(first.labels[i], dataset.label(first.indices[i]));
    EXPECT_TRUE(std::equal(dataset.image(first.indices[i]).begin(),
                           dataset.image(first.indices[i]).end(), first.images.begin() + i * 4));
  }
}

TEST(Loader, ResumesInTheMiddleOfAnEpoch) {
  const Dataset dataset = test::random_dataset(1003, 8, 8, 3);
  for (const int workers : {0, 2}) {
    const LoaderOptions options{
        .batch_size = 16, .seed = 3, .augmentation = strong(), .workers = workers};
    Loader whole(dataset, options);
    whole.start_epoch(7);
    for (int i = 0; i < 21; ++i) ASSERT_NE(whole.next(), nullptr);
    EXPECT_EQ(rest_of_epoch(whole), epoch_of(dataset, options, 7, 21));
  }
}

TEST(Loader, StartsAgainWithAnEpochUnderWay) {
  const Dataset dataset = test::random_dataset(2000, 4, 4, 3);
  const LoaderOptions options{.batch_size = 8, .seed = 3, .augmentation = strong(), .workers = 2};
  Loader loader(dataset, options);
  for (std::uint32_t epoch = 0; epoch < 20; ++epoch) {
    loader.start_epoch(epoch);
    for (std::uint32_t i = 0; i < epoch; ++i) ASSERT_NE(loader.next(), nullptr);
  }
  loader.start_epoch(2);
  EXPECT_EQ(rest_of_epoch(loader), epoch_of(dataset, options, 2));
  loader.start_epoch(2, loader.batch_count());
  EXPECT_EQ(loader.next(), nullptr);
}

TEST(Loader, RanksShareEachStepAndEverySampleIsSeenOnce) {
  const Dataset dataset = test::random_dataset(205, 4, 4, 3);
  for (const int ranks : {2, 3}) {
    std::vector<std::vector<std::int64_t>> steps;
    std::int64_t step_count = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      LoaderOptions options{.batch_size = 10, .seed = 5, .workers = rank % 2};
      options.rank = rank;
      options.rank_count = ranks;
      Loader loader(dataset, options);
      step_count = loader.batch_count();
      steps.resize(static_cast<std::size_t>(step_count));
      loader.start_epoch(1);
      std::size_t step = 0;
      while (const Batch* batch = loader.next()) {
        auto& seen = steps[step++];
        seen.insert(seen.end(), batch->indices.begin(), batch->indices.end());
      }
      EXPECT_EQ(step, steps.size());
    }
    // The ranks together see what one rank with the whole batch sees.
    Loader one(dataset, {.batch_size = 10 * ranks, .seed = 5});
    EXPECT_EQ(one.batch_count(), step_count);
    one.start_epoch(1);
    for (const auto& step : steps) {
      const Batch* batch = one.next();
      ASSERT_NE(batch, nullptr);
      EXPECT_TRUE(
          std::equal(step.begin(), step.end(), batch->indices.begin(), batch->indices.end()));
    }
  }
}

TEST(Loader, DropsOnlyTheLastStepThatIsNotFull) {
  const Dataset dataset = test::random_dataset(25, 2, 2, 1);
  LoaderOptions options{.batch_size = 10, .drop_last = true};
  EXPECT_EQ(epoch_of(dataset, options, 0).counts, (std::vector<std::int64_t>{10, 10}));
  options.drop_last = false;
  EXPECT_EQ(epoch_of(dataset, options, 0).counts, (std::vector<std::int64_t>{10, 10, 5}));
}

TEST(Loader, PlainBatchesLieInTheDataset) {
  const Dataset dataset = test::random_dataset(25, 2, 2, 3);
  Loader loader(dataset, {.batch_size = 10, .shuffle = false, .workers = 2});
  loader.start_epoch(0, 1);
  const Batch* batch = loader.next();
  ASSERT_NE(batch, nullptr);
  EXPECT_EQ(batch->images.data(), dataset.image(10).data());
  EXPECT_EQ(batch->labels.data(), dataset.labels().data() + 10);
  EXPECT_EQ(batch->indices[0], 10);
}

TEST(Loader, RefusesSettingsThatCannotWork) {
  const Dataset dataset = test::random_dataset(25, 8, 8, 3);
  const auto make = [&](const LoaderOptions& options) {
    return [&dataset, options] { Loader(dataset, options); };
  };
  test::expect_error(make({.batch_size = 0}), {"batch size 0"});
  test::expect_error(make({.batch_size = 26, .drop_last = true}), {"--drop-last", "25", "26"});
  test::expect_error(make({.batch_size = 9, .drop_last = true, .rank_count = 3}), {"takes 27"});
  test::expect_error(make({.workers = -1}), {"workers -1"});
  test::expect_error(make({.rank = 2, .rank_count = 2}), {"rank 2"});
  test::expect_error(make({.augmentation = {.crop_padding = 8}}), {"crop padding 8"});
  Loader loader(dataset, {.batch_size = 10});
  test::expect_error([&] { loader.start_epoch(0, 4); }, {"batch 4"});
}

}  // namespace
}  // namespace kiln
