// KILN_CHECK: an invariant of kiln's own code. A failure is a bug in kiln, never bad input, and
// throws std::logic_error with the expression and its place.
#pragma once

namespace kiln {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}  // namespace kiln

#define KILN_CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::kiln::check_failed(#expression, __FILE__, __LINE__))
