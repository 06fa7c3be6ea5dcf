// How work is cut into contiguous pieces.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/core/context.h"

namespace kiln {

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

// Piece `part` of `count` items cut into `part_count` pieces whose lengths differ by at most
// `unit`; every piece but the last begins and ends on a multiple of `unit`.
inline Range part_of(std::int64_t count, std::int64_t part_count, std::int64_t part,
                     std::int64_t unit = 1) {
  const std::int64_t units = (count + unit - 1) / unit;
  return {std::min(part * units / part_count * unit, count),
          std::min((part + 1) * units / part_count * unit, count)};
}

// Elements that a thread must get before a second one is worth waking: 16 Ki floats are 64 KiB,
// 2 to 4 us of streaming, while handing a job to a spinning thread takes about 1 us.
inline constexpr std::int64_t kMapGrain = 16384;

// body(Range) over [0, count) for maps, whose result does not depend on the cut. At most one piece
// per thread, and none smaller than `grain` items.
template <class Body>
void map_ranges(Context& c, std::int64_t count, std::int64_t grain, std::int64_t unit,
                const Body& body) {
  const std::int64_t parts = std::clamp<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1,
                                                      c.pool().thread_count());
  c.pool().parallel_for(parts, [&](std::int64_t part) { body(part_of(count, parts, part, unit)); });
}

}  // namespace kiln
