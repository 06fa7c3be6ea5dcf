// What each rank of mpi_ranks_test does: every collective, sums that overlap, and the same bits on
// all ranks. Exit code 0 where all of it holds.
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "engine/comm/agreement.h"
#include "engine/comm/mpi_communicator.h"
#include "engine/core/error.h"

namespace kiln::test {
namespace {

int faults = 0;

void expect(bool holds, const char* what, int rank) {
  if (holds) return;
  ++faults;
  std::fprintf(stderr, "rank %d: %s\n", rank, what);
}

void check_bits(Communicator& c, std::size_t count) {
  std::mt19937 random(static_cast<unsigned>(c.rank()) + 7);
  std::vector<float> x(count), y;
  std::uniform_real_distribution<float> values(-1, 1);
  for (float& v : x) v = values(random);
  y = x;
  Reduction sum = c.start_all_reduce<float>(y);
  c.all_reduce<float>(x);
  sum.wait();
  for (const auto* mine : {&x, &y}) {
    std::vector<float> first = *mine;
    c.broadcast<float>(first);
    expect(std::memcmp(first.data(), mine->data(), count * sizeof(float)) == 0,
           "a sum has other bits than on rank 0", c.rank());
  }
}

void check_overlap(Communicator& c) {
  std::vector<std::vector<double>> data(8);
  std::vector<Reduction> sums;
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i].assign(1000 * i + 1, c.rank() + static_cast<double>(i));
    sums.push_back(c.start_all_reduce<double>(data[i]));
  }
  std::vector<std::int64_t> between(3, c.rank());
  c.all_reduce<std::int64_t>(between);
  expect(between[2] == c.size() * (c.size() - 1) / 2, "a sum between others is wrong", c.rank());
  for (std::size_t i = data.size(); i-- > 0;) {
    sums[i].wait();
    const double all = c.size() * static_cast<double>(i) + c.size() * (c.size() - 1) / 2.0;
    for (const double v : data[i]) expect(v == all, "an overlapped sum is wrong", c.rank());
  }
}

void check_small(Communicator& c) {
  const std::int64_t mine[] = {c.rank(), 5};
  std::vector<std::int64_t> all(2 * static_cast<std::size_t>(c.size()));
  c.all_gather<std::int64_t>(mine, all);
  for (int r = 0; r < c.size(); ++r)
    expect(all[2 * static_cast<std::size_t>(r)] == r, "all_gather is wrong", c.rank());
  std::vector<std::int64_t> for_each;
  for (int r = 0; r < c.size(); ++r)
    for (const int i : {0, 1}) for_each.push_back(100 * c.rank() + 10 * r + i);
  c.all_to_all<std::int64_t>(for_each, all);
  for (int r = 0; r < c.size(); ++r)
    for (const int i : {0, 1})
      expect(all[static_cast<std::size_t>(2 * r + i)] == 100 * r + 10 * c.rank() + i,
             "all_to_all is wrong", c.rank());
  const auto texts = all_gather_text(c, std::string(static_cast<std::size_t>(c.rank()), 'x'));
  expect(texts.back().size() == static_cast<std::size_t>(c.size()) - 1, "a text is wrong",
         c.rank());
  c.barrier();
}

int run() {
  const auto c = make_mpi_communicator({});
  check_small(*c);
  for (const std::size_t count : {1u, 3u, 1000u, 65537u, 3000001u}) check_bits(*c, count);
  for (int i = 0; i < 20; ++i) check_overlap(*c);
  check_agreement(*c, {{"same", "1"}});
  std::printf("rank %d of %d\n", c->rank(), c->size());
  return faults == 0 ? 0 : 1;
}

}  // namespace
}  // namespace kiln::test

int main() {
  try {
    return kiln::test::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
