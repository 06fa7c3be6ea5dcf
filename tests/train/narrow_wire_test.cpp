// Sums that travel as bf16: their definition to the bit, their error, and what is sent.
#include "engine/train/narrow_wire.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <random>

#include "engine/comm/thread_communicator.h"

namespace kiln::test {
namespace {

// Hands everything on and counts the bytes that a rank sends to others. A sum in f32 is counted as
// what no algorithm goes below: 2(n-1)/n of its elements.
class CountingCommunicator final : public Communicator {
 public:
  explicit CountingCommunicator(Communicator& inner)
      : Communicator(inner.rank(), inner.size()), inner_(inner) {}
  std::string description() const override { return inner_.description(); }
  void barrier() override { inner_.barrier(); }
  void abandon(std::string_view why) noexcept override { inner_.abandon(why); }
  double sent() const { return sent_; }

 protected:
  double bytes(const comm::Elements& e) const {
    return static_cast<double>(e.count) * static_cast<double>(size_of(e.type));
  }
  void do_all_reduce(const comm::Elements& e) override {
    sent_ += 2 * bytes(e) * (size() - 1) / size();
    inner_.all_reduce(e);
  }
  int do_start_all_reduce(const comm::Elements& e) override {
    do_all_reduce(e);
    return 0;
  }
  bool do_test(int) override { return true; }
  void do_wait(int) override {}
  void do_broadcast(const comm::Elements& e, int root) override { inner_.broadcast(e, root); }
  void do_all_gather(const comm::Elements& mine, void* all) override {
    sent_ += bytes(mine) * (size() - 1);
    const auto count = static_cast<std::size_t>(bytes(mine));
    inner_.all_gather<std::uint8_t>(
        std::span(static_cast<const std::uint8_t*>(mine.data), count),
        std::span(static_cast<std::uint8_t*>(all), count * static_cast<std::size_t>(size())));
  }
  void do_all_to_all(const comm::Elements& mine, void* theirs) override {
    sent_ += bytes(mine) * (size() - 1) / size();
    const auto count = static_cast<std::size_t>(bytes(mine));
    inner_.all_to_all<std::uint8_t>(std::span(static_cast<const std::uint8_t*>(mine.data), count),
                                    std::span(static_cast<std::uint8_t*>(theirs), count));
  }

 private:
  Communicator& inner_;
  double sent_ = 0;
};

// Magnitudes from 2^-30 to 2^10, both signs.
std::vector<float> values_of(int rank, std::size_t count) {
  std::mt19937 random(static_cast<unsigned>(rank) + 1);
  std::uniform_real_distribution<float> exponent(-30, 10), fraction(-1, 1);
  std::vector<float> x(count);
  for (float& v : x) v = std::ldexp(fraction(random), static_cast<int>(exponent(random)));
  return x;
}

struct Sums {
  std::vector<std::vector<float>> of_rank;
  double sent_narrow = 0, sent_wide = 0;  // by rank 0
};

Sums sums(int ranks, std::size_t count) {
  Sums all{.of_rank = std::vector<std::vector<float>>(static_cast<std::size_t>(ranks))};
  run_thread_ranks({.size = ranks}, [&](Communicator& inner) {
    CountingCommunicator c(inner);
    NarrowWire wire(c, static_cast<std::int64_t>(count) + 5);
    std::vector<float> x = values_of(c.rank(), count), wide = x;
    wire.all_reduce(x);
    const double narrow = c.sent();
    c.all_reduce<float>(wide);
    if (c.rank() == 0) {
      all.sent_narrow = narrow;
      all.sent_wide = c.sent() - narrow;
    }
    all.of_rank[static_cast<std::size_t>(c.rank())] = x;
  });
  return all;
}

class NarrowWires : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, NarrowWires, testing::Values(2, 3, 4, 7));

// The definition with a rounding of its own, by the number line: a bf16 is a multiple of its unit.
float nearest_bf16(double x) {
  if (x == 0) return 0;
  const double unit = std::ldexp(1.0, std::ilogb(x) - 7);
  return static_cast<float>(std::nearbyint(x / unit) * unit);
}

TEST_P(NarrowWires, TheSumIsTheOneOfTheDefinitionOnAllRanks) {
  for (const std::size_t count : {1u, 2u, 9u, 5003u}) {
    const Sums got = sums(GetParam(), count);
    std::vector<float> wanted(count, 0.0f);
    for (int r = 0; r < GetParam(); ++r) {
      const std::vector<float> x = values_of(r, count);
      for (std::size_t i = 0; i < count; ++i) wanted[i] += nearest_bf16(static_cast<double>(x[i]));
    }
    for (float& x : wanted) x = nearest_bf16(static_cast<double>(x));
    for (const auto& sum : got.of_rank) EXPECT_EQ(sum, wanted) << count;
  }
}

TEST_P(NarrowWires, TheErrorIsWithinItsBound) {
  constexpr std::size_t kCount = 20011;
  constexpr double u = 0x1p-8;
  const Sums got = sums(GetParam(), kCount);
  std::vector<double> sum(kCount), magnitude(kCount);
  for (int r = 0; r < GetParam(); ++r) {
    const std::vector<float> x = values_of(r, kCount);
    for (std::size_t i = 0; i < kCount; ++i) {
      sum[i] += static_cast<double>(x[i]);
      magnitude[i] += std::abs(static_cast<double>(x[i]));
    }
  }
  double worst = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    const double bound =
        u * std::abs(sum[i]) + (1 + u) * (u + (1 + u) * GetParam() * 0x1p-24) * magnitude[i];
    const double error = std::abs(static_cast<double>(got.of_rank[0][i]) - sum[i]);
    EXPECT_LE(error, bound);
    worst = std::max(worst, error / bound);
  }
  EXPECT_GT(worst, 0.5) << "the bound is not what limits the error";
}

TEST_P(NarrowWires, HalfOfTheBytesAreSent) {
  const std::size_t count = 840 * 4;  // a multiple of every number of ranks
  const Sums got = sums(GetParam(), count);
  EXPECT_DOUBLE_EQ(got.sent_narrow, 2.0 * 2 * count * (GetParam() - 1) / GetParam());
  EXPECT_DOUBLE_EQ(got.sent_narrow, got.sent_wide / 2);
}

}  // namespace
}  // namespace kiln::test
