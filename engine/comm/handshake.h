// What ranks say when they meet over TCP, as bytes: whoever may reach a rank's port may send
// anything, so everything is of a size known before, and is judged before it is believed.
//
// All numbers are little-endian. A rank greets with a Hello; what it greeted answers with an Answer
// and, where a rank joins a run, with the places of all ranks once all have come.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <netinet/in.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::comm {

inline constexpr std::uint32_t kHandshakeVersion = 1;
inline constexpr int kMostTcpRanks = 4096;

enum class HelloKind : std::uint32_t {
  join,  // to rank 0: takes part in the run
  data,  // to any rank: this connection carries the collectives
};

// 40 bytes: "KILNRANK", version, kind, size, rank, run (8 bytes), port, zero.
struct Hello {
  std::uint32_t version = kHandshakeVersion;
  HelloKind kind = HelloKind::join;
  std::uint32_t size = 0, rank = 0;  // ranks of the run; the sender's
  std::uint64_t run = 0;             // identity of the run
  std::uint32_t port = 0;            // join: where the sender listens
};
inline constexpr std::size_t kHelloBytes = 40;

enum class Verdict : std::uint32_t {
  welcome,
  other_version,  // detail: the version that is spoken here
  other_run,
  other_size,  // detail: the size of the run here
  taken,       // there is such a rank already
  missing,     // detail: a rank that has not come in time
};

// 20 bytes: "KILNHOST", version, verdict, detail.
struct Answer {
  Verdict verdict = Verdict::welcome;
  std::uint32_t detail = 0;
};
inline constexpr std::size_t kAnswerBytes = 20;

// Where a rank listens: 16 bytes of address, in its IPv6 form, and 4 of port.
struct RankPlace {
  in6_addr address{};
  std::uint32_t port = 0;
};
inline constexpr std::size_t kPlaceBytes = 20;

std::array<std::byte, kHelloBytes> encode(const Hello& hello);
std::array<std::byte, kAnswerBytes> encode(const Answer& answer);
std::vector<std::byte> encode(std::span<const RankPlace> places);

enum class Reading { incomplete, complete, stranger };

// The beginning of a connection, as far as it has come. A stranger is told at its first wrong byte.
// Of a Hello of another version nothing but the version is known.
Reading read_hello(std::span<const std::byte> bytes, Hello& hello);
Reading read_answer(std::span<const std::byte> bytes, Answer& answer);
// Places of all ranks, kPlaceBytes for each. False where a port is none.
bool read_places(std::span<const std::byte> bytes, std::vector<RankPlace>& places);

// What a rank expects of those that greet it.
struct HelloRules {
  HelloKind kind = HelloKind::join;
  std::uint32_t size = 0;
  std::uint32_t least_rank = 1;  // those below connect to nobody
  std::uint64_t run = 0;
};
enum class Judgement { welcome, refused, stranger };
// A stranger gets no answer.
Judgement judge(const Hello& hello, const HelloRules& rules, Answer& answer);

// FNV-1a of the run's name.
std::uint64_t run_identity(std::string_view name);

}  // namespace kiln::comm
