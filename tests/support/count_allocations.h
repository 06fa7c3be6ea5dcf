// Counts calls of operator new. A test that includes this links count_allocations.cpp, which
// replaces operator new for the whole program.
#pragma once

namespace kiln {

// Calls of operator new by any thread since the program started.
long long allocation_count();

}  // namespace kiln
