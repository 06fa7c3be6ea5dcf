// What this process holds in memory, and what it may hold.
#pragma once

#include <cstdint>

namespace kiln::serve {

// Bytes in memory now; 0 where the system does not tell (no /proc).
std::uint64_t resident_bytes();

// The machine's memory, or the container's where its control group allows less (version 1 or 2).
std::uint64_t allowed_bytes();

}  // namespace kiln::serve
