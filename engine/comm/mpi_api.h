// MpiApi: what libkiln_mpi.so, the plug-in around Open MPI, brings along: a versioned table of
// functions that comes out by one C entry. Nothing of MPI is visible on this side, and plain types
// alone cross the border.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/core/dtype.h"

namespace kiln {

struct MpiApi {
  std::uint32_t version = 0;
  std::uint32_t size_bytes = 0;

  // Begins MPI; null with the reason in `why`. `session` below is what this returned.
  void* (*open)(char* why, std::size_t why_bytes) = nullptr;
  // Ends MPI; waits for all ranks. Without it a process may leave, and mpirun ends the others.
  void (*close)(void* session) = nullptr;
  int (*rank)(void* session) = nullptr;
  int (*size)(void* session) = nullptr;
  int (*local_size)(void* session) = nullptr;       // ranks of this machine; collective
  const char* (*library)(void* session) = nullptr;  // "Open MPI v4.1.4, ..."

  // 0, or an error code of MPI. Counts are elements; f32, f64, i64 and u8.
  int (*all_reduce)(void* session, void* data, std::int64_t count, DType type) = nullptr;
  int (*start_all_reduce)(void* session, void* data, std::int64_t count, DType type,
                          int slot) = nullptr;
  int (*test)(void* session, int slot, int* done) = nullptr;
  int (*broadcast)(void* session, void* data, std::int64_t count, DType type, int root) = nullptr;
  int (*all_gather)(void* session, const void* mine, void* all, std::int64_t count,
                    DType type) = nullptr;
  // `count` elements of `mine` for each rank.
  int (*all_to_all)(void* session, const void* mine, void* theirs, std::int64_t count,
                    DType type) = nullptr;
  int (*barrier)(void* session) = nullptr;
  void (*error_text)(int code, char* text, std::size_t text_bytes) = nullptr;
};

inline constexpr std::uint32_t kMpiApiVersion = 2;

// The plug-in's entry. Null for a caller of another version or layout.
struct MpiCaller {
  std::uint32_t version = kMpiApiVersion;
  std::uint32_t size_bytes = sizeof(MpiApi);
};
using MpiEntry = const MpiApi* (*)(const MpiCaller* caller);
inline constexpr const char* kMpiEntryName = "kiln_mpi_api";

}  // namespace kiln
