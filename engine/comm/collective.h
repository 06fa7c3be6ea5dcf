// What communicators of kiln's own have in common: the kinds of collectives, the shares in which a
// sum is computed, and the order in which it is added up.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "engine/comm/communicator.h"

namespace kiln::comm {

enum class Kind : std::uint32_t { all_reduce, broadcast, all_gather, all_to_all, barrier };

const char* name_of(Kind kind);
// "all_reduce of 5 f32".
std::string described(Kind kind, std::int64_t count, DType type);

// The elements that one rank adds up for all.
struct Share {
  std::int64_t first = 0, end = 0;

  std::int64_t count() const { return end - first; }
};
inline Share share_of(std::int64_t count, int rank, int size) {
  return {count * rank / size, count * (rank + 1) / size};
}

// out[i] = in[0][i] + in[1][i] + ..., in this order, for first <= i < first + count and every `out`
// of `outputs`, which may be inputs. f32, f64 or i64; throws Error (unsupported) for others.
void sum_in_order(std::span<void* const> inputs, std::span<void* const> outputs, std::int64_t first,
                  std::int64_t count, DType type);

}  // namespace kiln::comm
