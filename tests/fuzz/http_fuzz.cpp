// Any bytes as a connection's requests: whole, byte by byte and in pieces of 7, with one result;
// and Boost.Beast takes what is taken, with the same header and body.
#include <cstdint>
#include <cstdlib>

#include "tests/http/beast_reader.h"
#include "tests/http/parse_all.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const kiln::http::HttpLimits limits{.body_bytes = 1000, .chunk_count = 100};
  const kiln::http::Parsed whole = kiln::http::parse_all(bytes, size, limits);
  for (const std::size_t piece : {1, 7}) {
    const kiln::http::Parsed cut = kiln::http::parse_all(bytes, piece, limits);
    if (cut.answers != whole.answers || cut.bodies != whole.bodies) std::abort();
  }
  if (!kiln::http::difference_from_beast(bytes).empty()) std::abort();
  return 0;
}
