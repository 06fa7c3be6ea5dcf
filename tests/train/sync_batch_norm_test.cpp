// Batch normalisation over the rows of several ranks: that of all rows together, forward and
// backward, and its gradient by finite differences through what the ranks compute together.
#include <cmath>
#include <gtest/gtest.h>

#include "engine/comm/thread_communicator.h"
#include "engine/train/rank_exchange.h"
#include "kernels/include/batchnorm_grad.h"
#include "kernels/include/batchnorm_train.h"
#include "tests/support/check_op.h"
#include "tests/support/random_tensor.h"

namespace kiln::test {
namespace {

constexpr std::int64_t kChannels = 3, kRows = 11;

Values part_of_rows(const Values& x, std::int64_t first, std::int64_t end) {
  return {x.begin() + first * kChannels, x.begin() + end * kChannels};
}

// What the ranks have, put together by rows; sums of parameters added up, the rest equal on all.
struct Outcome {
  Values y, dx, dgamma = Values(kChannels), dbeta = Values(kChannels);
  Values mean, variance;

  void add(const Outcome& other) {
    y.insert(y.end(), other.y.begin(), other.y.end());
    dx.insert(dx.end(), other.dx.begin(), other.dx.end());
    for (std::size_t c = 0; c < kChannels; ++c) {
      dgamma[c] += other.dgamma[c];
      dbeta[c] += other.dbeta[c];
    }
    if (!mean.empty()) {
      EXPECT_EQ(mean, other.mean) << "another rank has other statistics";
      EXPECT_EQ(variance, other.variance);
    }
    mean = other.mean;
    variance = other.variance;
  }
};

Outcome compute(const Values& x, const Values& dy, ChannelExchange* ranks, DType type) {
  TestContext c(2);
  const Shape shape{static_cast<std::int64_t>(x.size()) / kChannels, kChannels};
  const Shape per_channel{kChannels};
  const auto owned = [&](const Shape& of, const Values& values) {
    return OwnedTensor(of, type, Device{}, values);
  };
  const OwnedTensor in = owned(shape, x), gradient = owned(shape, dy);
  const OwnedTensor gamma = owned(per_channel, {1.5, -0.5, 2}),
                    beta = owned(per_channel, {0, 1, -1});
  OwnedTensor y(shape, type, Device{}), dx(shape, type, Device{});
  OwnedTensor mean(per_channel, type, Device{}), inv_std(per_channel, type, Device{});
  OwnedTensor running_mean = owned(per_channel, {0, 0, 0}),
              running_var = owned(per_channel, {1, 1, 1});
  OwnedTensor dgamma(per_channel, type, Device{}), dbeta(per_channel, type, Device{});
  Buffer scratch(Device{}, std::max(batchnorm_train_scratch_bytes(c, shape, type),
                                    batchnorm_grad_scratch_bytes(c, shape, type)));
  batchnorm_train(c, {.x = in,
                      .gamma = gamma,
                      .beta = beta,
                      .y = y,
                      .saved_mean = mean,
                      .saved_inv_std = inv_std,
                      .running_mean = running_mean,
                      .running_var = running_var,
                      .scratch = scratch.data(),
                      .ranks = ranks});
  batchnorm_grad(c, {.x = in,
                     .gamma = gamma,
                     .saved_mean = mean,
                     .saved_inv_std = inv_std,
                     .dy = gradient,
                     .dx = dx,
                     .dgamma = dgamma,
                     .dbeta = dbeta,
                     .scratch = scratch.data(),
                     .ranks = ranks});
  return {y.values(),     dx.values(),           dgamma.values(),
          dbeta.values(), running_mean.values(), running_var.values()};
}

// Ranks' rows are unequal in number; the last has one alone.
Outcome compute_shared(const Values& x, const Values& dy, int ranks, DType type) {
  std::vector<Outcome> of_rank(static_cast<std::size_t>(ranks));
  run_thread_ranks({.size = ranks}, [&](Communicator& c) {
    RankExchange exchange(c, kChannels);
    const std::int64_t first = (kRows - 1) * c.rank() / (ranks - 1);
    const std::int64_t end =
        c.rank() == ranks - 1 ? kRows : (kRows - 1) * (c.rank() + 1) / (ranks - 1);
    of_rank[static_cast<std::size_t>(c.rank())] =
        compute(part_of_rows(x, first, end), part_of_rows(dy, first, end), &exchange, type);
  });
  Outcome all;
  for (const Outcome& o : of_rank) all.add(o);
  return all;
}

Values random_values(std::uint64_t seed) {
  return random_tensor({kRows, kChannels}, DType::f32, seed).values();
}

class SyncBatchNorm : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, SyncBatchNorm, testing::Values(2, 3, 4));

TEST_P(SyncBatchNorm, IsThatOfAllRowsTogether) {
  const Values x = random_values(1), dy = random_values(2);
  for (const auto& [type, bar] : {std::pair{DType::f64, 1e-14}, std::pair{DType::f32, 1e-6}}) {
    const Outcome whole = compute(x, dy, nullptr, type);
    const Outcome shared = compute_shared(x, dy, GetParam(), type);
    EXPECT_TRUE(close_to(shared.y, whole.y, bar));
    EXPECT_TRUE(close_to(shared.dx, whole.dx, bar));
    EXPECT_TRUE(close_to(shared.dgamma, whole.dgamma, bar));
    EXPECT_TRUE(close_to(shared.dbeta, whole.dbeta, bar));
    EXPECT_TRUE(close_to(shared.mean, whole.mean, bar));
    EXPECT_TRUE(close_to(shared.variance, whole.variance, bar));
  }
}

// The loss is the sum over all ranks of dy y: each x of each rank moves the y of all.
TEST_P(SyncBatchNorm, ItsGradientIsThatOfTheCombinedFunction) {
  const Values dy = random_values(4);
  Values x = random_values(3);
  const Outcome at = compute_shared(x, dy, GetParam(), DType::f64);
  const auto loss = [&] {
    const Outcome moved = compute_shared(x, dy, GetParam(), DType::f64);
    double sum = 0;
    for (std::size_t i = 0; i < dy.size(); ++i) sum += dy[i] * moved.y[i];
    return sum;
  };
  constexpr double h = 1e-5;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double before = x[i];
    x[i] = before + h;
    const double above = loss();
    x[i] = before - h;
    const double below = loss();
    x[i] = before;
    EXPECT_NEAR(at.dx[i], (above - below) / (2 * h), 1e-7) << i;
  }
}

}  // namespace
}  // namespace kiln::test
