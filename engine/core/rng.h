// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A number is a pure function of (seed, stream, epoch,
// index), so it is the same on every device, for every number of threads, and after every resume.
#pragma once

#include <array>
#include <cstdint>

#ifdef __CUDACC__
#define KILN_HOST_DEVICE __host__ __device__
#else
#define KILN_HOST_DEVICE
#endif

namespace kiln {

// What the numbers are for; two purposes never share a stream.
enum class RandomStream : std::uint32_t {
  initialise = 1,
  shuffle = 2,
  augment = 3,
  dropout = 4,
  synthesise = 5,
};

struct PhiloxBlock {
  std::uint32_t word[4];
};

// Ten rounds of Philox on `counter` under `key`.
KILN_HOST_DEVICE constexpr PhiloxBlock philox4x32(PhiloxBlock counter, std::uint32_t key0,
                                                  std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter.word[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter.word[2];
    const auto hi0 = static_cast<std::uint32_t>(p0 >> 32), lo0 = static_cast<std::uint32_t>(p0);
    const auto hi1 = static_cast<std::uint32_t>(p1 >> 32), lo1 = static_cast<std::uint32_t>(p1);
    counter = {{hi1 ^ counter.word[1] ^ key0, lo1, hi0 ^ counter.word[3] ^ key1, lo0}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// Uniform in [0, 1) with 24 bits.
KILN_HOST_DEVICE constexpr float unit_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * (1.0f / 16777216.0f);
}

// Four 32-bit words for (seed, stream, epoch, index).
KILN_HOST_DEVICE constexpr PhiloxBlock random_block(std::uint64_t seed, RandomStream stream,
                                                    std::uint32_t epoch, std::uint64_t index) {
  return philox4x32({{static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                      epoch, static_cast<std::uint32_t>(stream)}},
                    static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
}

// A sequential reader over the blocks of one (seed, stream, epoch): for initialisers, shuffles and
// drawing pictures, where one consumer takes the numbers in order.
class RandomSequence {
 public:
  RandomSequence(std::uint64_t seed, RandomStream stream, std::uint32_t epoch,
                 std::uint64_t first_index = 0)
      : seed_(seed), stream_(stream), epoch_(epoch), index_(first_index) {}

  std::uint32_t next_u32() {
    if (used_ == 4) {
      block_ = random_block(seed_, stream_, epoch_, index_++);
      used_ = 0;
    }
    return block_.word[used_++];
  }
  // Uniform in [0, 1).
  float next_unit() { return unit_float(next_u32()); }
  // Uniform in [low, high).
  float next_uniform(float low, float high) { return low + (high - low) * next_unit(); }
  // Uniform in [0, bound), without modulo bias (Lemire's multiply-and-reject).
  std::uint32_t next_below(std::uint32_t bound) {
    std::uint64_t product = std::uint64_t{next_u32()} * bound;
    if (static_cast<std::uint32_t>(product) < bound) {
      const std::uint32_t threshold = (0u - bound) % bound;
      while (static_cast<std::uint32_t>(product) < threshold)
        product = std::uint64_t{next_u32()} * bound;
    }
    return static_cast<std::uint32_t>(product >> 32);
  }

 private:
  std::uint64_t seed_;
  RandomStream stream_;
  std::uint32_t epoch_;
  std::uint64_t index_;
  PhiloxBlock block_{};
  int used_ = 4;
};

}  // namespace kiln
