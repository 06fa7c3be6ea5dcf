// KILN_UNROLL: before a `for` whose trip count is a constant, so that arrays of vectors indexed in
// it become registers.
#pragma once

#if defined(__clang__)
#define KILN_NO_UNROLL _Pragma("clang loop unroll(disable)")
#define KILN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define KILN_NO_UNROLL _Pragma("GCC unroll 1")
#define KILN_UNROLL _Pragma("GCC unroll 64")
#endif
