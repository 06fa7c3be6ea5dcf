#include "engine/serve/batcher.h"

#include <atomic>
#include <condition_variable>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>

namespace kiln::serve {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

// Lets executors through, one batch for each permit.
class Gate {
 public:
  void open(int permits) {
    const std::lock_guard lock(mutex_);
    permits_ += permits;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return permits_ > 0; });
    --permits_;
    --waiting_;
  }
  void until_waiting(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int permits_ = 0, waiting_ = 0;
};

// What executors did, in order.
struct Journal {
  std::mutex mutex;
  std::vector<std::int64_t> batches;
  std::vector<std::thread::id> threads;
};

// A picture is one byte b; its row of the result is {b, 1000 - b}. A byte of 255 throws.
class ByteExecutor : public Executor {
 public:
  ByteExecutor(std::int64_t max_batch, Journal& journal, Gate* gate = nullptr)
      : bytes_(static_cast<std::size_t>(max_batch)),
        results_(2 * bytes_.size()),
        journal_(journal),
        gate_(gate) {}

  std::int64_t max_batch() const override { return static_cast<std::int64_t>(bytes_.size()); }
  std::int64_t output_size() const override { return 2; }
  void load(std::int64_t row, const payload::Pictures& pictures, std::int64_t first,
            std::int64_t count) override {
    ASSERT_LE(row + count, max_batch());
    for (std::int64_t i = 0; i < count; ++i)
      bytes_.at(static_cast<std::size_t>(row + i)) =
          pictures.bytes.at(static_cast<std::size_t>(first + i));
  }
  void run(std::int64_t count) override {
    if (gate_ != nullptr) gate_->pass();
    {
      const std::lock_guard lock(journal_.mutex);
      journal_.batches.push_back(count);
      journal_.threads.push_back(std::this_thread::get_id());
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      if (bytes_[i] == 255) throw std::runtime_error("planted");
      results_[2 * i] = bytes_[i];
      results_[2 * i + 1] = static_cast<float>(1000 - bytes_[i]);
    }
  }
  std::span<const float> outputs(std::int64_t row, std::int64_t count) const override {
    return std::span(results_).subspan(static_cast<std::size_t>(2 * row),
                                       static_cast<std::size_t>(2 * count));
  }

 private:
  std::vector<std::uint8_t> bytes_;
  std::vector<float> results_;
  Journal& journal_;
  Gate* gate_;
};

// What became of one request.
struct Fate {
  std::mutex mutex;
  std::condition_variable told;
  std::vector<float> outputs;
  int answers = 0, late = 0, failures = 0;
  std::atomic<bool> cancelled = false;

  int calls() {
    const std::lock_guard lock(mutex);
    return answers + late + failures;
  }
  void until_told() {
    std::unique_lock lock(mutex);
    told.wait(lock, [&] { return answers + late + failures > 0; });
  }
};

class FateWaiter : public Waiter {
 public:
  explicit FateWaiter(std::shared_ptr<Fate> fate) : fate_(std::move(fate)) {}
  bool cancelled() const override { return fate_->cancelled; }
  void answer(std::span<const float> outputs) override {
    const std::lock_guard lock(fate_->mutex);
    fate_->outputs.assign(outputs.begin(), outputs.end());
    ++fate_->answers;
    fate_->told.notify_all();
  }
  void refuse(Refused why) override {
    const std::lock_guard lock(fate_->mutex);
    ++(why == Refused::late ? fate_->late : fate_->failures);
    fate_->told.notify_all();
  }

 private:
  std::shared_ptr<Fate> fate_;
};

class BatcherTest : public testing::Test {
 protected:
  void start(BatcherOptions options, int executors, std::int64_t max_batch,
             bool with_inline = false, bool gated = true) {
    std::vector<std::unique_ptr<Executor>> list;
    for (int i = 0; i < executors; ++i)
      list.push_back(std::make_unique<ByteExecutor>(max_batch, journal_, gated ? &gate_ : nullptr));
    auto own = with_inline ? std::make_unique<ByteExecutor>(max_batch, journal_) : nullptr;
    batcher_ = std::make_unique<Batcher>(options, std::move(list), std::move(own), metrics_,
                                         [this](std::string_view what) {
                                           const std::lock_guard lock(journal_.mutex);
                                           failures_.emplace_back(what);
                                         });
  }
  Admission submit(std::vector<std::uint8_t> bytes, std::shared_ptr<Fate>& fate,
                   milliseconds time = milliseconds(600'000)) {
    fate = std::make_shared<Fate>();
    const auto count = static_cast<std::int64_t>(bytes.size());
    return batcher_->submit({.pictures = {.count = count, .bytes = std::move(bytes), .values = {}},
                             .deadline = Clock::now() + time,
                             .waiter = std::make_unique<FateWaiter>(fate)});
  }
  // Requests that arrive together, one for each list of bytes.
  bool inline_all(const std::vector<std::vector<std::uint8_t>>& all,
                  std::vector<std::shared_ptr<Fate>>& fates) {
    std::vector<Work> works;
    fates.clear();
    for (const auto& bytes : all) {
      fates.push_back(std::make_shared<Fate>());
      works.push_back({.pictures = {.count = static_cast<std::int64_t>(bytes.size()),
                                    .bytes = bytes,
                                    .values = {}},
                       .deadline = Clock::time_point::max(),
                       .waiter = std::make_unique<FateWaiter>(fates.back())});
    }
    const bool done = batcher_->try_inline(works);
    for (const Work& work : works) EXPECT_NE(work.waiter, nullptr) << "left as it was";
    for (const auto& fate : fates) EXPECT_EQ(fate->calls(), done ? 1 : 0);
    return done;
  }
  std::shared_ptr<Fate> taken(std::vector<std::uint8_t> bytes,
                              milliseconds time = milliseconds(600'000)) {
    std::shared_ptr<Fate> fate;
    EXPECT_EQ(submit(std::move(bytes), fate, time), Admission::taken);
    return fate;
  }
  void TearDown() override {
    gate_.open(1 << 20);
    batcher_.reset();
  }

  Gate gate_;
  Journal journal_;
  std::vector<std::string> failures_;
  BatcherMetrics metrics_{32};
  std::unique_ptr<Batcher> batcher_;
};

TEST_F(BatcherTest, AFreeThreadTakesWhatWaits) {
  start({}, 1, 4);
  const auto first = taken({1});
  gate_.until_waiting(1);
  std::vector<std::shared_ptr<Fate>> rest;
  for (std::uint8_t b = 2; b <= 7; ++b) rest.push_back(taken({b}));
  EXPECT_EQ(batcher_->waiting_pictures(), 6);
  gate_.open(3);
  rest.back()->until_told();
  first->until_told();
  EXPECT_THAT(first->outputs, ElementsAre(1, 999));
  EXPECT_THAT(rest[3]->outputs, ElementsAre(5, 995));
  EXPECT_THAT(journal_.batches, ElementsAre(1, 4, 2));
  EXPECT_EQ(metrics_.batch_pictures.read().at_most,
            (std::vector<std::uint64_t>{1, 2, 3, 3, 3, 3, 3}));
  EXPECT_EQ(metrics_.pictures.value(), 7u);
  EXPECT_EQ(metrics_.queue_seconds.read().count(), 7u);
}

TEST_F(BatcherTest, ALargeRequestIsAnsweredWhole) {
  start({.queue_pictures = 3}, 2, 4);
  std::vector<std::uint8_t> bytes(10);
  std::vector<float> wanted;
  for (std::uint8_t i = 0; i < 10; ++i) {
    bytes[i] = static_cast<std::uint8_t>(20 + i);
    wanted.push_back(bytes[i]);
    wanted.push_back(static_cast<float>(1000 - bytes[i]));
  }
  const auto fate = taken(bytes);  // more than the queue, but nothing waits
  gate_.until_waiting(2);          // 4 and 4 are with the two threads, 2 wait
  EXPECT_EQ(batcher_->waiting_pictures(), 2);
  std::shared_ptr<Fate> other;
  EXPECT_EQ(submit({1, 2}, other), Admission::full);
  EXPECT_EQ(submit({1}, other), Admission::taken);
  EXPECT_EQ(metrics_.full.value(), 1u);
  gate_.open(2);
  gate_.until_waiting(1);
  EXPECT_EQ(fate->calls(), 0);
  gate_.open(2);
  fate->until_told();
  EXPECT_EQ(fate->outputs, wanted);
  other->until_told();
  EXPECT_THAT(other->outputs, ElementsAre(1, 999));
}

TEST_F(BatcherTest, WhatIsRefusedIsLeftToTheCaller) {
  start({.queue_pictures = 1}, 1, 1);
  const auto first = taken({1});
  gate_.until_waiting(1);
  const auto second = taken({2});
  const auto fate = std::make_shared<Fate>();
  Work work{.pictures = {.count = 1, .bytes = {3}, .values = {}},
            .deadline = Clock::now() + milliseconds(600'000),
            .waiter = std::make_unique<FateWaiter>(fate)};
  EXPECT_EQ(batcher_->submit(std::move(work)), Admission::full);
  EXPECT_NE(work.waiter, nullptr);  // NOLINT(bugprone-use-after-move): the contract
  EXPECT_EQ(fate->calls(), 0);
}

TEST_F(BatcherTest, ADeadlineIsKeptWhileEveryThreadComputes) {
  start({}, 1, 1);
  const auto computing = taken({1}, milliseconds(30));
  gate_.until_waiting(1);
  const auto waiting = taken({2}, milliseconds(20)), patient = taken({3});
  waiting->until_told();
  computing->until_told();
  EXPECT_EQ(waiting->late, 1);
  EXPECT_EQ(computing->late, 1);
  EXPECT_EQ(batcher_->waiting_pictures(), 1);
  gate_.open(2);
  patient->until_told();
  EXPECT_THAT(patient->outputs, ElementsAre(3, 997));
  EXPECT_THAT(journal_.batches, ElementsAre(1, 1)) << "what was late is not computed";
  EXPECT_EQ(computing->calls(), 1) << "its result came to nobody";
  EXPECT_EQ(metrics_.late.value(), 2u);
}

TEST_F(BatcherTest, AnEarlierDeadlineBehindALaterOneIsKept) {
  start({}, 1, 1);
  const auto computing = taken({1});
  gate_.until_waiting(1);
  const auto patient = taken({2});
  const auto hasty = taken({3}, milliseconds(5));
  hasty->until_told();
  EXPECT_EQ(hasty->late, 1);
  EXPECT_EQ(patient->calls(), 0);
}

TEST_F(BatcherTest, ACancelledRequestIsNotComputed) {
  start({}, 1, 8);
  const auto first = taken({1});
  gate_.until_waiting(1);
  const auto gone = taken({2}), here = taken({3});
  gone->cancelled = true;
  gate_.open(2);
  here->until_told();
  EXPECT_THAT(journal_.batches, ElementsAre(1, 1));
  EXPECT_EQ(gone->calls(), 0);
  EXPECT_EQ(metrics_.cancelled.value(), 1u);
}

TEST_F(BatcherTest, AFailureFailsItsBatchAlone) {
  start({}, 1, 2);
  const auto first = taken({1});
  gate_.until_waiting(1);
  const auto bad = taken({255}), beside = taken({2}), after = taken({3});
  const auto large = taken({4, 5, 255, 6, 7});
  gate_.open(100);
  after->until_told();
  large->until_told();
  EXPECT_EQ(bad->failures, 1);
  EXPECT_EQ(beside->failures, 1);
  EXPECT_EQ(large->failures, 1);
  batcher_->stop();
  EXPECT_EQ(large->calls(), 1);
  // With one picture of `large` beside it, `after` shares a batch that goes well.
  EXPECT_THAT(after->outputs, ElementsAre(3, 997));
  EXPECT_THAT(failures_, testing::Each("planted"));
  EXPECT_EQ(metrics_.failed.value(), 3u);
}

TEST_F(BatcherTest, StoppingAnswersWhatWaits) {
  start({.max_delay = std::chrono::hours(1)}, 1, 2);
  const auto lone = taken({9});
  gate_.open(100);
  batcher_->stop();
  EXPECT_THAT(lone->outputs, ElementsAre(9, 991));
  std::shared_ptr<Fate> after;
  EXPECT_EQ(submit({1}, after), Admission::stopping);
  batcher_->stop();  // again: nothing happens
}

TEST_F(BatcherTest, ADelayEndsWhenTheBatchIsFull) {
  start({.max_delay = std::chrono::hours(1)}, 1, 3);
  const auto a = taken({1}), b = taken({2});
  gate_.open(100);
  EXPECT_EQ(a->calls(), 0);
  const auto c = taken({3});
  c->until_told();
  b->until_told();
  EXPECT_THAT(journal_.batches, ElementsAre(3));
}

TEST_F(BatcherTest, ADelayEndsByItself) {
  start({.max_delay = milliseconds(5)}, 1, 3, false, false);
  const auto a = taken({1});
  a->until_told();
  EXPECT_THAT(a->outputs, ElementsAre(1, 999));
}

TEST_F(BatcherTest, AFewPicturesAreComputedByTheirCaller) {
  start({.inline_pictures = 8, .inline_batch = 4}, 1, 4, true);
  std::vector<std::shared_ptr<Fate>> fates;
  ASSERT_TRUE(inline_all({{7}}, fates));
  EXPECT_THAT(fates[0]->outputs, ElementsAre(7, 993));
  EXPECT_EQ(journal_.threads.at(0), std::this_thread::get_id());
  // Three and two do not fit into one batch of four, and two and two do.
  ASSERT_TRUE(inline_all({{1, 2, 3}, {4, 5}, {6, 7}}, fates));
  EXPECT_THAT(fates[0]->outputs, ElementsAre(1, 999, 2, 998, 3, 997));
  EXPECT_THAT(fates[1]->outputs, ElementsAre(4, 996, 5, 995));
  EXPECT_THAT(fates[2]->outputs, ElementsAre(6, 994, 7, 993));
  // A request that is larger than a batch is computed in pieces.
  ASSERT_TRUE(inline_all({{1, 2, 3, 4, 5, 6}, {9}}, fates));
  EXPECT_THAT(fates[0]->outputs, ElementsAre(1, 999, 2, 998, 3, 997, 4, 996, 5, 995, 6, 994));
  EXPECT_THAT(fates[1]->outputs, ElementsAre(9, 991));
  EXPECT_THAT(journal_.batches, ElementsAre(1, 3, 4, 4, 2, 1));
  EXPECT_EQ(metrics_.pictures.value(), 15u);
  EXPECT_EQ(metrics_.queue_seconds.read().count(), 6u);
}

TEST_F(BatcherTest, MoreThanAFewPicturesAreNotComputedByTheirCaller) {
  start({.inline_pictures = 3, .inline_batch = 2}, 1, 4, true);
  std::vector<std::shared_ptr<Fate>> fates;
  EXPECT_FALSE(inline_all({{1}, {2}, {3}, {4}}, fates));
  EXPECT_FALSE(inline_all({{1, 2, 3, 4}}, fates));
  EXPECT_FALSE(inline_all({}, fates));
  EXPECT_TRUE(inline_all({{1}, {2}, {3}}, fates));
}

TEST_F(BatcherTest, AFailureInlineFailsItsBatchAlone) {
  start({.inline_pictures = 8, .inline_batch = 2}, 1, 4, true);
  std::vector<std::shared_ptr<Fate>> fates;
  ASSERT_TRUE(inline_all({{1}, {255}, {2}, {3, 255, 4}}, fates));
  EXPECT_EQ(fates[0]->failures, 1);
  EXPECT_EQ(fates[1]->failures, 1);
  EXPECT_THAT(fates[2]->outputs, ElementsAre(2, 998));
  EXPECT_EQ(fates[3]->failures, 1);
  EXPECT_EQ(metrics_.failed.value(), 3u);
  EXPECT_EQ(failures_.size(), 2u);
}

TEST_F(BatcherTest, NothingIsComputedInlineWhileSomethingWaits) {
  start({}, 1, 4, true);
  std::vector<std::shared_ptr<Fate>> fates;
  const auto computing = taken({1, 2});
  gate_.until_waiting(1);
  EXPECT_TRUE(inline_all({{8}}, fates));
  const auto queued = taken({3, 4});
  EXPECT_FALSE(inline_all({{5}}, fates)) << "it would overtake";
  gate_.open(100);
  batcher_->stop();
  EXPECT_FALSE(inline_all({{5}}, fates));
}

TEST_F(BatcherTest, WithoutAnInlineExecutorEverythingIsSubmitted) {
  start({}, 1, 4);
  std::vector<std::shared_ptr<Fate>> fates;
  EXPECT_FALSE(inline_all({{7}}, fates));
}

// Every request meets exactly one fate, whatever happens at the same time.
TEST_F(BatcherTest, EveryRequestMeetsOneFate) {
  start({.queue_pictures = 64}, 3, 4, false, false);
  std::mt19937 random(5);
  struct Sent {
    std::shared_ptr<Fate> fate;
    std::vector<std::uint8_t> bytes;
  };
  std::vector<Sent> sent;
  std::uint64_t full = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::uint8_t> bytes(1 + random() % 7);
    for (auto& b : bytes) b = static_cast<std::uint8_t>(random() % 250);
    if (random() % 50 == 0) bytes.back() = 255;
    std::shared_ptr<Fate> fate;
    const auto time = random() % 10 == 0 ? milliseconds(0) : milliseconds(600'000);
    if (submit(bytes, fate, time) == Admission::full)
      ++full;
    else
      sent.push_back({fate, bytes});
    if (random() % 20 == 0) fate->cancelled = true;
  }
  batcher_->stop();
  std::uint64_t late = 0, failures = 0, dropped = 0, answered = 0;
  for (const Sent& s : sent) {
    ASSERT_LE(s.fate->calls(), 1);
    if (s.fate->calls() == 0) {
      ASSERT_TRUE(s.fate->cancelled);
      ++dropped;
    }
    late += static_cast<std::uint64_t>(s.fate->late);
    failures += static_cast<std::uint64_t>(s.fate->failures);
    if (s.fate->answers == 0) continue;
    ++answered;
    ASSERT_EQ(s.fate->outputs.size(), 2 * s.bytes.size());
    for (std::size_t k = 0; k < s.bytes.size(); ++k)
      ASSERT_EQ(s.fate->outputs[2 * k], static_cast<float>(s.bytes[k]));
  }
  EXPECT_GT(answered, 0u);
  EXPECT_EQ(metrics_.full.value(), full);
  EXPECT_EQ(metrics_.late.value(), late);
  EXPECT_EQ(metrics_.failed.value(), failures);
  EXPECT_EQ(metrics_.cancelled.value(), dropped);
  EXPECT_EQ(batcher_->waiting_pictures(), 0);
}

}  // namespace
}  // namespace kiln::serve
