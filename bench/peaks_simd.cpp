// Loops that do nothing but one thing, per instruction set: multiply-adds, loads, stores.
#include "bench/peaks_simd.h"

#include "kernels/cpu/simd.h"

namespace kiln::cpu::KILN_ISA {

// Twelve independent chains hide the latency of four cycles at two instructions per cycle.
void multiply_adds(std::int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  Vec chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = broadcast(static_cast<float>(i));
  const Vec factor = broadcast(0.999f), addend = broadcast(0.001f);
  for (std::int64_t round = 0; round < rounds; ++round)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) chain[i] = fmadd(chain[i], factor, addend);
  Vec total{};
  for (int i = 0; i < kChains; ++i) total += chain[i];
  *sink = sum(total);
}

int multiply_add_lanes() { return 12 * kLanes; }

void read_memory(const float* from, std::int64_t count, float* sink) {
  Vec a{}, b{}, c{}, d{};
  for (std::int64_t i = 0; i + 4 * kLanes <= count; i += 4 * kLanes) {
    a += load(from + i);
    b += load(from + i + kLanes);
    c += load(from + i + 2 * kLanes);
    d += load(from + i + 3 * kLanes);
  }
  *sink = sum(a + b + c + d);
}

void write_memory(float* to, std::int64_t count) {
  const Vec value = broadcast(1.0f);
  for (std::int64_t i = 0; i + kLanes <= count; i += kLanes) store(to + i, value);
}

}  // namespace kiln::cpu::KILN_ISA
