// libkiln_mpi.so: the table of engine/comm/mpi_api.h over MPI's C interface.
#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mpi.h>
#include <new>

#include "engine/comm/communicator.h"
#include "engine/comm/mpi_api.h"

namespace kiln {
namespace {

// MPI counts in int: what is larger goes in pieces of this many elements.
constexpr std::int64_t kMostCount = std::int64_t{1} << 30;

struct MpiSession {
  MPI_Comm world = MPI_COMM_NULL;
  std::array<MPI_Request, Communicator::kMostReductions> requests;
  char library[MPI_MAX_LIBRARY_VERSION_STRING] = {};
};

MpiSession& of(void* session) { return *static_cast<MpiSession*>(session); }

MPI_Datatype mpi_type(DType type) {
  switch (type) {
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i64:
      return MPI_INT64_T;
    case DType::u8:
      return MPI_BYTE;
    default:
      return MPI_DATATYPE_NULL;
  }
}

void error_text(int code, char* text, std::size_t text_bytes) {
  char words[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  if (MPI_Error_string(code, words, &length) != MPI_SUCCESS)
    std::snprintf(words, sizeof words, "error %d", code);
  std::snprintf(text, text_bytes, "%s", words);
}

// Parameters of Open MPI; what the environment says already, mpirun's --mca among it, wins.
// Figures: docs/decisions.md, "Open MPI, told how".
constexpr struct {
  const char *name, *value;
} kParameters[] = {
    // A started sum in place goes up a binomial tree and down again by default, all bytes log2 n
    // times each way. Rabenseifner's halving and doubling (3) moves 2 (n-1)/n of them.
    {"OMPI_MCA_coll_libnbc_iallreduce_algorithm", "3"},
    // All but put: two ranks that put large messages to each other over one connection take turns.
    {"OMPI_MCA_btl_tcp_flags", "send,inplace,need-ack,need-csum,hetero-rdma"},
    // Up to here a message is handed to the network at once, without an answer of the other side,
    // which comes only when that side calls MPI; beyond, in pieces of this size.
    {"OMPI_MCA_btl_tcp_eager_limit", "1048576"},
    {"OMPI_MCA_btl_tcp_rndv_eager_limit", "1048576"},
    {"OMPI_MCA_btl_tcp_max_send_size", "1048576"},
};

// A communicator of our own, whose errors are returned.
int begin(MpiSession& session) {
  for (const auto& parameter : kParameters) ::setenv(parameter.name, parameter.value, 0);
  int provided = 0;
  if (const int fault = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided))
    return fault;
  if (const int fault = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN)) return fault;
  if (const int fault = MPI_Comm_dup(MPI_COMM_WORLD, &session.world)) return fault;
  if (const int fault = MPI_Comm_set_errhandler(session.world, MPI_ERRORS_RETURN)) return fault;
  int length = 0;
  return MPI_Get_library_version(session.library, &length);
}

void* open(char* why, std::size_t why_bytes) {
  auto* session = new (std::nothrow) MpiSession;
  if (session == nullptr) return nullptr;
  session->requests.fill(MPI_REQUEST_NULL);
  if (const int fault = begin(*session)) {
    error_text(fault, why, why_bytes);
    delete session;
    return nullptr;
  }
  return session;
}

void close(void* session) {
  MPI_Comm_free(&of(session).world);
  MPI_Finalize();
  delete &of(session);
}

int rank(void* session) {
  int value = 0;
  MPI_Comm_rank(of(session).world, &value);
  return value;
}

int size(void* session) {
  int value = 1;
  MPI_Comm_size(of(session).world, &value);
  return value;
}

int local_size(void* session) {
  MPI_Comm local = MPI_COMM_NULL;
  int value = 1;
  if (MPI_Comm_split_type(of(session).world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local) !=
      MPI_SUCCESS)
    return value;
  MPI_Comm_size(local, &value);
  MPI_Comm_free(&local);
  return value;
}

const char* library(void* session) { return of(session).library; }

// call(data, count) for pieces that MPI can count.
template <class Call>
int in_pieces(void* data, std::int64_t count, DType type, const Call& call) {
  for (std::int64_t at = 0; at < count; at += kMostCount) {
    const auto piece = static_cast<int>(std::min(kMostCount, count - at));
    std::byte* from = static_cast<std::byte*>(data) + static_cast<std::size_t>(at) * size_of(type);
    if (const int fault = call(from, piece)) return fault;
  }
  return MPI_SUCCESS;
}

int all_reduce(void* session, void* data, std::int64_t count, DType type) {
  return in_pieces(data, count, type, [&](void* piece, int piece_count) {
    return MPI_Allreduce(MPI_IN_PLACE, piece, piece_count, mpi_type(type), MPI_SUM,
                         of(session).world);
  });
}

int start_all_reduce(void* session, void* data, std::int64_t count, DType type, int slot) {
  if (count > INT_MAX) return MPI_ERR_COUNT;
  return MPI_Iallreduce(MPI_IN_PLACE, data, static_cast<int>(count), mpi_type(type), MPI_SUM,
                        of(session).world, &of(session).requests[static_cast<std::size_t>(slot)]);
}

int test(void* session, int slot, int* done) {
  return MPI_Test(&of(session).requests[static_cast<std::size_t>(slot)], done, MPI_STATUS_IGNORE);
}

int broadcast(void* session, void* data, std::int64_t count, DType type, int root) {
  return in_pieces(data, count, type, [&](void* piece, int piece_count) {
    return MPI_Bcast(piece, piece_count, mpi_type(type), root, of(session).world);
  });
}

int all_gather(void* session, const void* mine, void* all, std::int64_t count, DType type) {
  if (count > INT_MAX) return MPI_ERR_COUNT;
  return MPI_Allgather(mine, static_cast<int>(count), mpi_type(type), all, static_cast<int>(count),
                       mpi_type(type), of(session).world);
}

int all_to_all(void* session, const void* mine, void* theirs, std::int64_t count, DType type) {
  if (count > INT_MAX) return MPI_ERR_COUNT;
  return MPI_Alltoall(mine, static_cast<int>(count), mpi_type(type), theirs,
                      static_cast<int>(count), mpi_type(type), of(session).world);
}

int barrier(void* session) { return MPI_Barrier(of(session).world); }

constexpr MpiApi kApi{.version = kMpiApiVersion,
                      .size_bytes = sizeof(MpiApi),
                      .open = open,
                      .close = close,
                      .rank = rank,
                      .size = size,
                      .local_size = local_size,
                      .library = library,
                      .all_reduce = all_reduce,
                      .start_all_reduce = start_all_reduce,
                      .test = test,
                      .broadcast = broadcast,
                      .all_gather = all_gather,
                      .all_to_all = all_to_all,
                      .barrier = barrier,
                      .error_text = error_text};

}  // namespace
}  // namespace kiln

extern "C" __attribute__((visibility("default"))) const kiln::MpiApi* kiln_mpi_api(
    const kiln::MpiCaller* caller);

const kiln::MpiApi* kiln_mpi_api(const kiln::MpiCaller* caller) {
  const bool same =
      caller->version == kiln::kMpiApiVersion && caller->size_bytes == sizeof(kiln::MpiApi);
  return same ? &kiln::kApi : nullptr;
}
