// Several ranks, as threads, train what one rank trains.
#include <cmath>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <thread>

#include "engine/comm/thread_communicator.h"
#include "engine/train/trainer.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_folder.h"
#include "tests/train/fixture.h"
#include "tests/train/mini_resnet.h"
#include "tests/train/narrow_speedrun.h"

namespace kiln::test {
namespace {

using testing::HasSubstr;

ModelSpec plain_resnet() {
  ModelSpec spec = mini_resnet(16);
  spec.name = "plain_resnet";
  spec.layers = without_norm(spec.layers);
  return spec;
}

// What a rank ends with.
struct Outcome {
  std::vector<float> weights;
  Evaluation evaluation;
  std::vector<double> losses;  // running means, as the observer is told
  TrainPosition position;
};

class Losses final : public TrainObserver {
 public:
  explicit Losses(std::vector<double>& to) : to_(to) {}
  void step_done(std::int64_t, double loss, double, double) override { to_.push_back(loss); }

 private:
  std::vector<double>& to_;
};

struct Job {
  ModelSpec spec = lenet();
  std::int64_t train_count = 300, test_count = 70;
  TrainOptions options;
  int ranks = 1;
  int threads = 1;
  bool deterministic = false;
  bool resume = false;
  DType storage = DType::f32;
  CpuConv2dAlgorithm algorithm = CpuConv2dAlgorithm::automatic;
  std::int64_t stop_after = -1;  // steps until the last rank is asked to stop
};

Outcome run_rank(const Job& job, Communicator* communicator, const Dataset& train,
                 const Dataset& test) {
  Workbench bench(job.threads, job.deterministic, job.algorithm);
  ParameterStore parameters(job.spec, DType::f32, Device{}, job.storage);
  parameters.initialise(job.options.seed + (communicator ? communicator->rank() : 0));
  TrainOptions options = job.options;
  options.communicator = communicator;
  Trainer trainer(job.spec, parameters, options, train, test, bench.context, bench.providers);
  const bool last = communicator == nullptr || communicator->rank() == communicator->size() - 1;
  if (job.resume && (communicator == nullptr || communicator->rank() == 0))
    trainer.resume(options.checkpoint);
  Outcome outcome;
  Losses observer(outcome.losses);
  std::int64_t asked = 0;
  trainer.run(observer, [&] { return last && ++asked == job.stop_after; });
  outcome.evaluation = trainer.evaluate();
  const auto values = parameters.flat_values().elements<float>();
  outcome.weights.assign(values.begin(), values.end());
  outcome.position = trainer.position();
  return outcome;
}

std::vector<Outcome> run(const Job& job) {
  const Dataset train = random_dataset(job.spec, job.train_count);
  const Dataset test = random_dataset(job.spec, job.test_count);
  if (job.ranks == 1) return {run_rank(job, nullptr, train, test)};
  std::vector<Outcome> outcomes(static_cast<std::size_t>(job.ranks));
  run_thread_ranks({.size = job.ranks}, [&](Communicator& c) {
    outcomes[static_cast<std::size_t>(c.rank())] = run_rank(job, &c, train, test);
  });
  return outcomes;
}

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    difference += (x - y) * (x - y);
    norm += y * y;
  }
  return std::sqrt(difference / norm);
}

void expect_equal_ranks(const std::vector<Outcome>& outcomes) {
  for (const Outcome& o : outcomes) {
    EXPECT_EQ(0, std::memcmp(o.weights.data(), outcomes[0].weights.data(),
                             o.weights.size() * sizeof(float)));
    EXPECT_EQ(o.losses, outcomes[0].losses);
    EXPECT_EQ(o.evaluation.hit_count, outcomes[0].evaluation.hit_count);
  }
}

class Ranks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Counts, Ranks, testing::Values(2, 3, 4));

// Epochs of 10 steps, the last of them not full; one under a sanitizer, where five take minutes.
constexpr std::int64_t kEpochs = kWithSanitizer ? 1 : 5;
constexpr std::size_t kSteps = 10 * kEpochs;
Job many_steps(Job job, double rate) {
  job.train_count = 24 * 9 + 13;
  job.options.epoch_count = kEpochs;
  job.options.batch_size = 24;
  job.options.global_batch = true;
  job.options.optimizer.momentum = 0.9;
  job.options.schedule.base = rate;
  job.options.augmentation = {.crop_padding = 2, .flip = Augmentation::Flip::random};
  return job;
}

// The rate is small: a sum in another order has other last bits, and with large steps these come to
// decide which pixel wins a pooling window (docs/distributed.md).
void expect_what_one_rank_trains(Job job, int ranks) {
  job = many_steps(job, 0.001);
  const Outcome alone = run(job)[0];
  job.ranks = ranks;
  const std::vector<Outcome> shared = run(job);
  expect_equal_ranks(shared);
  ASSERT_EQ(shared[0].losses.size(), kSteps);
  EXPECT_LE(relative_difference(shared[0].weights, alone.weights), 1e-5);
  EXPECT_EQ(shared[0].evaluation.image_count, job.test_count);
  EXPECT_EQ(shared[0].evaluation.hit_count, alone.evaluation.hit_count);
  EXPECT_EQ(shared[0].evaluation.confusion, alone.evaluation.confusion);
  EXPECT_NEAR(shared[0].evaluation.loss, alone.evaluation.loss, 1e-6);
  for (std::size_t i = 0; i < alone.losses.size(); ++i)
    EXPECT_NEAR(shared[0].losses[i], alone.losses[i], 1e-5);
}

TEST_P(Ranks, LenetIsWhatOneRankTrains) { expect_what_one_rank_trains({}, GetParam()); }

TEST_P(Ranks, AResnetWithoutNormIsWhatOneRankTrains) {
  Job job{.spec = plain_resnet()};
  job.options.reducer.buckets = {.most_buckets = 4, .least_elements = 512, .last_elements = 128};
  expect_what_one_rank_trains(job, GetParam());
}

// Threads in a rank share its pictures by slices.
TEST_P(Ranks, RanksOfSeveralThreads) { expect_what_one_rank_trains({.threads = 2}, GetParam()); }

// Exact slices: no last bit depends on the ranks, nor on threads, so no decision does.
void expect_the_bits_of_one_rank(Job job, int ranks) {
  job = many_steps(job, 0.01);
  job.deterministic = true;
  const Outcome alone = run(job)[0];
  for (const int threads : {1, 2}) {
    job.ranks = ranks;
    job.threads = threads;
    const std::vector<Outcome> shared = run(job);
    expect_equal_ranks(shared);
    EXPECT_EQ(shared[0].losses.size(), kSteps);
    EXPECT_EQ(shared[0].weights, alone.weights) << threads;
  }
}

TEST_P(Ranks, DeterministicLenetHasTheBitsOfOneRank) {
  expect_the_bits_of_one_rank({}, GetParam());
}

TEST_P(Ranks, ADeterministicResnetHasTheBitsOfOneRank) {
  Job job{.spec = plain_resnet()};
  job.options.reducer.buckets = {.most_buckets = 4, .least_elements = 512, .last_elements = 128};
  expect_the_bits_of_one_rank(job, GetParam());
}

// 3 micro-batches of 8 are a batch of 24, in another order of sums.
TEST_P(Ranks, MicroBatchesAreOneLargeBatch) {
  for (const Overlap overlap : {Overlap::on, Overlap::off}) {
    Job job = many_steps({.spec = plain_resnet()}, 0.001);
    job.options.reducer.buckets = {
        .most_buckets = 4, .least_elements = 512, .last_elements = 128, .overlap = overlap};
    const Outcome whole = run(job)[0];
    job.options.batch_size = 8;
    job.options.accumulate = 3;
    const Outcome alone = run(job)[0];
    EXPECT_NE(alone.weights, whole.weights);
    EXPECT_LE(relative_difference(alone.weights, whole.weights), 1e-5);
    job.ranks = GetParam();
    const std::vector<Outcome> shared = run(job);
    expect_equal_ranks(shared);
    ASSERT_EQ(shared[0].losses.size(), kSteps);
    EXPECT_LE(relative_difference(shared[0].weights, whole.weights), 1e-5);
  }
}

TEST_P(Ranks, DeterministicMicroBatchesHaveTheBitsOfOneLargeBatch) {
  Job job = many_steps({.deterministic = true}, 0.01);
  const Outcome whole = run(job)[0];
  job.options.batch_size = 8;
  job.options.accumulate = 3;
  EXPECT_EQ(run(job)[0].weights, whole.weights);
  job.ranks = GetParam();
  EXPECT_EQ(run(job)[0].weights, whole.weights);
}

// Storage of 16 bits; gradients are summed in f32 all the same.
TEST_P(Ranks, TrainInBf16) {
  for (const bool deterministic : {false, true}) {
    Job job;
    job.storage = DType::bf16;
    job.deterministic = deterministic;
    job.ranks = GetParam();
    job.options.global_batch = true;
    const auto outcomes = run(job);
    expect_equal_ranks(outcomes);
    job.ranks = 1;
    const Outcome alone = run(job).front();
    if (deterministic)
      EXPECT_EQ(outcomes.front().weights, alone.weights);
    else
      EXPECT_LT(relative_difference(outcomes.front().weights, alone.weights), 0x1p-8);
  }
}

// Gradients with 8 significant bits: near the weights of f32, not equal to them.
TEST_P(Ranks, GradientsTravelAsBf16) {
  Job job = many_steps({.spec = plain_resnet()}, 0.001);
  job.options.reducer.buckets = {.most_buckets = 4, .least_elements = 512, .last_elements = 128};
  job.ranks = GetParam();
  const Outcome wide = run(job)[0];
  job.options.reducer.wire = Wire::bf16;
  const std::vector<Outcome> narrow = run(job);
  expect_equal_ranks(narrow);
  EXPECT_NE(narrow[0].weights, wide.weights);
  EXPECT_LE(relative_difference(narrow[0].weights, wide.weights), 1e-3);
}

TEST(DistributedFaults, ExactSumsDoNotTravelAsBf16) {
  Job job{.ranks = 2, .deterministic = true};
  job.options.reducer.wire = Wire::bf16;
  try {
    run(job);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--wire bf16: cannot carry gradients of type f64"));
  }
}

TEST(MicroBatches, EachDrawsItsOwnDropoutMasksAndCountsAsABatch) {
  Job job{.spec = mini_resnet(16), .train_count = 24};
  job.options = {.epoch_count = 1, .batch_size = 4, .accumulate = 3};
  Workbench bench(1);
  ParameterStore parameters(job.spec, DType::f32, Device{}, job.storage);
  parameters.initialise(1);
  const Dataset train = random_dataset(job.spec, job.train_count);
  Trainer trainer(job.spec, parameters, job.options, train, train, bench.context, bench.providers);
  TrainObserver observer;
  trainer.run(observer, [] { return false; });
  EXPECT_EQ(trainer.position().step, 2);
  EXPECT_EQ(parameters.batches_tracked(), 6);
  EXPECT_EQ(bench.context.counter.step, 5u);
}

TEST_P(Ranks, BatchSizeIsOfEachRankOtherwise) {
  const int ranks = GetParam();
  Job job{.train_count = 120};
  job.options.batch_size = 12 * ranks;
  const Outcome alone = run(job)[0];
  job.options.batch_size = 12;
  job.ranks = ranks;
  const std::vector<Outcome> shared = run(job);
  expect_equal_ranks(shared);
  EXPECT_EQ(shared[0].losses.size(), alone.losses.size());
  EXPECT_LE(relative_difference(shared[0].weights, alone.weights), 1e-5);
}

// The last step has one picture, the others ranks none.
TEST_P(Ranks, ARankWithoutAPictureTakesPart) {
  Job job{.train_count = 25};
  job.options = {.epoch_count = 3, .batch_size = 24, .global_batch = true};
  const Outcome alone = run(job)[0];
  job.ranks = GetParam();
  const std::vector<Outcome> shared = run(job);
  expect_equal_ranks(shared);
  EXPECT_LE(relative_difference(shared[0].weights, alone.weights), 1e-5);
}

// Batch normalisation sees a rank's own pictures: another result than one rank's, equal weights.
TEST_P(Ranks, BatchNormIsLocalAndTheWeightsAreEqual) {
  Job job{.spec = mini_resnet(16), .train_count = 60};
  job.options = {.epoch_count = 2, .batch_size = 6};
  job.ranks = GetParam();
  expect_equal_ranks(run(job));
}

// Groups, one of which stops within the run, weights that are not trained and differ before the
// start, and averages.
TEST_P(Ranks, GroupsThatStopLeaveTheWeightsEqual) {
  Job job{.spec = narrow_speedrun(16), .train_count = 50, .test_count = 8};
  job.options = {.epoch_count = 2, .batch_size = 4};
  job.options.optimizer = speedrun_optimizer(4, 0.75);
  job.options.lookahead.interval = 3;
  job.options.drop_last = true;
  job.options.schedule = {.kind = ScheduleKind::linear, .base = speedrun_base_rate(4)};
  job.ranks = GetParam();
  expect_equal_ranks(run(job));
}

// Whether a relu is open is for the last bits to decide, which no processor has like another; gelu
// has no such edge.
std::vector<LayerSpec> with_gelu(std::vector<LayerSpec> layers) {
  for (LayerSpec& layer : layers) {
    if (layer.kind == LayerKind::relu) layer.kind = LayerKind::gelu;
    layer.body = with_gelu(layer.body);
  }
  return layers;
}

TEST_P(Ranks, SynchronousBatchNormIsWhatOneRankTrains) {
  for (const Overlap overlap : {Overlap::on, Overlap::off}) {
    Job job = many_steps({.spec = mini_resnet(16)}, 0.001);
    job.spec.layers = with_gelu(job.spec.layers);
    // Winograd's rounding is twice as large, and fifty steps make 2e-5 of it.
    job.algorithm = CpuConv2dAlgorithm::direct;
    job.options.reducer.buckets = {
        .most_buckets = 4, .least_elements = 512, .last_elements = 128, .overlap = overlap};
    const Outcome alone = run(job)[0];
    job.ranks = GetParam();
    EXPECT_GE(relative_difference(run(job)[0].weights, alone.weights), 1e-4)
        << "ranks by themselves";
    job.options.sync_batch_norm = true;
    const std::vector<Outcome> shared = run(job);
    expect_equal_ranks(shared);
    EXPECT_LE(relative_difference(shared[0].weights, alone.weights), 1e-5);
    EXPECT_NEAR(shared[0].evaluation.loss, alone.evaluation.loss, 1e-5);
  }
}

TEST(DistributedFaults, SynchronousBatchNormNeedsAPictureOnEveryRank) {
  Job job{.spec = mini_resnet(16), .train_count = 26, .ranks = 3};
  job.options = {.batch_size = 24, .global_batch = true, .sync_batch_norm = true};
  try {
    run(job);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("a step of 2 pictures: has none for some rank"));
  }
}

class DistributedResume : public TempFolderTest {
 protected:
  Job job(int ranks) const {
    Job job{.train_count = 200, .ranks = ranks};
    job.options.epoch_count = 3;
    job.options.batch_size = 24;
    job.options.global_batch = true;
    job.options.optimizer = {.kind = OptimizerKind::adam};
    job.options.checkpoint = folder() / "checkpoint.safetensors";
    return job;
  }
};

// One rank is asked to stop: all do so behind the same step, and go on as if nothing had been.
TEST_F(DistributedResume, GoesOnBitForBit) {
  const std::vector<Outcome> whole = run(job(3));
  Job first = job(3), second = job(3);
  first.stop_after = 13;
  const std::vector<Outcome> stopped = run(first);
  for (const Outcome& o : stopped) EXPECT_EQ(o.position.step, 13);
  second.resume = true;
  const std::vector<Outcome> resumed = run(second);
  expect_equal_ranks(resumed);
  EXPECT_EQ(resumed[0].weights, whole[0].weights);
}

TEST_F(DistributedResume, GoesOnWithAnotherNumberOfRanks) {
  const Outcome whole = run(job(1))[0];
  Job first = job(4), second = job(2);
  first.stop_after = 13;
  run(first);
  second.resume = true;
  const std::vector<Outcome> resumed = run(second);
  expect_equal_ranks(resumed);
  EXPECT_EQ(resumed[0].position.step, whole.position.step);
  EXPECT_LE(relative_difference(resumed[0].weights, whole.weights), 1e-5);
}

// With a batch per rank fewer ranks take smaller steps: what is left of the epoch is cut anew.
TEST_F(DistributedResume, WithSmallerStepsEveryPictureIsStillSeenOnce) {
  Job first = job(4), second = job(3);
  first.options.global_batch = second.options.global_batch = false;
  first.options.batch_size = second.options.batch_size = 10;
  first.stop_after = 7;  // 5 steps of 40 are an epoch; 80 pictures of the next
  EXPECT_EQ(run(first)[0].position.epoch_image_count, 80);
  second.resume = true;
  const std::vector<Outcome> resumed = run(second);
  expect_equal_ranks(resumed);
  // 7 steps of up to 30 an epoch; the second goes on in its third one, 10 pictures of which are
  // left. Steps go on being counted where the first run stopped, and so do the files that name
  // them.
  EXPECT_EQ(resumed[0].losses.size(), 5u + 7u);
  EXPECT_EQ(resumed[0].position.step, 7 + 5 + 7);
}

TEST(DistributedFaults, StepsSmallerThanTheRanksAreRefused) {
  Job job{.ranks = 3};
  job.options = {.batch_size = 2, .global_batch = true};
  try {
    run(job);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot be shared by 3 ranks"));
  }
}

// A slice is no rank's part and the next one's.
TEST(DistributedFaults, FewerSlicesThanRanksAreRefused) {
  Job job{.ranks = 3, .deterministic = true};
  job.options = {.batch_size = 8, .global_batch = true};
  try {
    run(job);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot be shared by 3 ranks in slices of 4"));
  }
}

TEST(DistributedFaults, ALossThatIsNotFiniteEndsAllRanks) {
  Job job{.ranks = 2};
  job.options.schedule.base = 1e30;
  EXPECT_THROW(run(job), Error);
}

// Gradients that this rank writes before its peer's have the bits of all: the reducer starts the
// buckets of a pass while the pass goes on.
TEST(GradientReducer, StartsBucketsWhileBackwardGoesOn) {
  const ModelSpec spec = plain_resnet();
  const RandomBatch data(spec, 8, 3);
  run_thread_ranks({.size = 2}, [&](Communicator& c) {
    Workbench bench(1);
    ParameterStore parameters(spec, DType::f32, Device{});
    parameters.initialise(1);
    GradientReducer reducer(
        c, parameters, parameters.flat_gradients(),
        {.buckets = {.most_buckets = 6, .least_elements = 256, .last_elements = 64}});
    ASSERT_GE(reducer.plan().buckets.size(), 4u);
    TrainPass pass(spec, parameters, bench.context, bench.providers,
                   {.batch_size = 8, .mean_over = 16});
    pass.run(bench.context, data.images, data.labels, {});
    const auto gradients = parameters.flat_gradients().elements<float>();
    std::vector<float> twice(gradients.begin(), gradients.end());
    for (float& x : twice) x += x;
    reducer.begin(bench.context);
    bench.context.backward_listener = &reducer;
    pass.run(bench.context, data.images, data.labels, {});
    bench.context.backward_listener = nullptr;
    EXPECT_EQ(reducer.started_count(), reducer.plan().buckets.size() - 1);
    double sums[] = {1.0};
    reducer.finish(sums);
    EXPECT_EQ(sums[0], 2.0);
    EXPECT_EQ(0, std::memcmp(gradients.data(), twice.data(), gradients.size_bytes()));
  });
}

}  // namespace
}  // namespace kiln::test
