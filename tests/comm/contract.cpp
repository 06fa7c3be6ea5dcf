#include "tests/comm/contract.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/comm/agreement.h"

namespace kiln::test {
namespace {

std::vector<float> values_of(int rank, std::size_t count) {
  std::mt19937 random(static_cast<unsigned>(rank) + 1);
  std::vector<float> x(count);
  for (float& v : x) v = std::uniform_real_distribution<float>(-1, 1)(random);
  return x;
}

std::vector<float> sum_by_rank(int size, std::size_t count) {
  std::vector<float> sum = values_of(0, count);
  for (int rank = 1; rank < size; ++rank) {
    const std::vector<float> x = values_of(rank, count);
    for (std::size_t i = 0; i < count; ++i) sum[i] += x[i];
  }
  return sum;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(std::as_bytes(std::span(a)), std::as_bytes(std::span(b)));
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// Counts that are multiples of nothing, some below the number of ranks, some of many pieces.
void expect_sums(Communicator& c, SumOrder order) {
  for (const std::size_t count : {0u, 1u, 2u, 5u, 1000u, 2047u, 65537u, 300007u}) {
    const std::vector<float> expected = sum_by_rank(c.size(), count);
    std::vector<float> x = values_of(c.rank(), count), y = x;
    Reduction sum = c.start_all_reduce<float>(y);
    c.all_reduce<float>(x);
    sum.wait();
    for (const auto* mine : {&x, &y}) {
      std::vector<float> first = *mine;
      c.broadcast<float>(first);
      EXPECT_TRUE(same_bits(first, *mine)) << "rank " << c.rank() << ", " << count;
      EXPECT_LE(largest_difference(*mine, expected), 1e-6F * static_cast<float>(c.size()));
      EXPECT_TRUE(order == SumOrder::any || same_bits(*mine, expected)) << count;
    }
  }
}

// Many reductions under way, tested and waited for in an order of each rank's own, with others
// between them, smaller than the ranks are many.
void expect_overlap(Communicator& c) {
  std::mt19937 random(static_cast<unsigned>(c.rank()));
  std::vector<std::vector<double>> data(Communicator::kMostReductions - 4);  // and four between
  const double ranks = c.size() * (c.size() - 1) / 2.0;
  for (int round = 0; round < 2; ++round) {
    std::vector<Reduction> reductions;
    for (std::size_t i = 0; i < data.size(); ++i) {
      data[i].assign(1 + 7 * i * i, static_cast<double>(c.rank() + round) + static_cast<double>(i));
      reductions.push_back(c.start_all_reduce<double>(data[i]));
      if (random() % 2 == 0) reductions[random() % reductions.size()].test();
      if (i % 16 != 7) continue;
      std::int64_t between[] = {c.rank()};
      c.all_reduce<std::int64_t>(between);
      EXPECT_EQ(between[0], c.size() * (c.size() - 1) / 2);
    }
    std::vector<std::size_t> order(data.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::shuffle(order, random);
    for (const std::size_t i : order) {
      reductions[i].wait();
      const double all = c.size() * (round + static_cast<double>(i)) + ranks;
      EXPECT_EQ(std::ranges::count(data[i], all), std::ssize(data[i])) << "rank " << c.rank();
    }
  }
}

void expect_copies(Communicator& c) {
  for (const int root : {0, c.size() - 1}) {
    std::vector<std::int64_t> x(70001, c.rank());
    c.broadcast<std::int64_t>(x, root);
    EXPECT_THAT(x, testing::Each(root));
  }
  const std::int64_t mine[] = {c.rank(), -c.rank()};
  std::vector<std::int64_t> all(2 * static_cast<std::size_t>(c.size()));
  c.all_gather<std::int64_t>(mine, all);
  for (int r = 0; r < c.size(); ++r) {
    EXPECT_EQ(all[2 * static_cast<std::size_t>(r)], r);
    EXPECT_EQ(all[2 * static_cast<std::size_t>(r) + 1], -r);
  }
  std::vector<std::int64_t> for_each;
  for (int r = 0; r < c.size(); ++r)
    for (const int i : {0, 1}) for_each.push_back(100 * c.rank() + 10 * r + i);
  c.all_to_all<std::int64_t>(for_each, all);
  for (int r = 0; r < c.size(); ++r)
    for (const int i : {0, 1})
      EXPECT_EQ(all[2 * static_cast<std::size_t>(r) + static_cast<std::size_t>(i)],
                100 * r + 10 * c.rank() + i);
  const auto texts = all_gather_text(c, std::string(static_cast<std::size_t>(c.rank()), 'x'));
  for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], std::string(r, 'x'));
}

}  // namespace

void expect_contract(Communicator& communicator, SumOrder order) {
  expect_copies(communicator);
  expect_sums(communicator, order);
  expect_overlap(communicator);
  check_agreement(communicator, {{"same", "1"}});
  communicator.barrier();
}

}  // namespace kiln::test
