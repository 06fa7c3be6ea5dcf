// Any bytes as a connection's requests: whole, byte by byte and in pieces of 7, with one result.
#include <cstdint>
#include <cstdlib>

#include "tests/serve/parse_all.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const kiln::serve::HttpLimits limits{.body_bytes = 1000, .chunk_count = 100};
  const kiln::serve::Parsed whole = kiln::serve::parse_all(bytes, size, limits);
  for (const std::size_t piece : {1, 7}) {
    const kiln::serve::Parsed cut = kiln::serve::parse_all(bytes, piece, limits);
    if (cut.answers != whole.answers || cut.bodies != whole.bodies) std::abort();
  }
  return 0;
}
