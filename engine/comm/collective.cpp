#include "engine/comm/collective.h"

#include <algorithm>
#include <cstring>

#include "engine/core/error.h"

namespace kiln::comm {
namespace {

// Blocks stay in the cache while one rank after the other is added.
template <class T>
void sum_as(std::span<void* const> inputs, std::span<void* const> outputs, Share share) {
  constexpr std::int64_t kBlock = 2048;
  T sum[kBlock];
  for (std::int64_t at = share.first; at < share.end; at += kBlock) {
    const auto count = static_cast<std::size_t>(std::min(kBlock, share.end - at));
    std::memcpy(sum, static_cast<const T*>(inputs[0]) + at, count * sizeof(T));
    for (std::size_t r = 1; r < inputs.size(); ++r) {
      const T* x = static_cast<const T*>(inputs[r]) + at;
      for (std::size_t i = 0; i < count; ++i) sum[i] += x[i];
    }
    for (void* out : outputs) std::memcpy(static_cast<T*>(out) + at, sum, count * sizeof(T));
  }
}

}  // namespace

const char* name_of(Kind kind) {
  constexpr const char* kNames[] = {"all_reduce", "broadcast", "all_gather", "all_to_all",
                                    "barrier"};
  const auto index = static_cast<std::size_t>(kind);
  return index < std::size(kNames) ? kNames[index] : "something unknown";
}

std::string described(Kind kind, std::int64_t count, DType type) {
  return std::string(name_of(kind)) + " of " + std::to_string(count) + " " +
         std::string(kiln::name_of(type));
}

void sum_in_order(std::span<void* const> inputs, std::span<void* const> outputs, std::int64_t first,
                  std::int64_t count, DType type) {
  const Share share{first, first + count};
  switch (type) {
    case DType::f32:
      return sum_as<float>(inputs, outputs, share);
    case DType::f64:
      return sum_as<double>(inputs, outputs, share);
    case DType::i64:
      return sum_as<std::int64_t>(inputs, outputs, share);
    default:
      throw Error(ErrorKind::unsupported, kiln::name_of(type), "is not summed over ranks");
  }
}

}  // namespace kiln::comm
