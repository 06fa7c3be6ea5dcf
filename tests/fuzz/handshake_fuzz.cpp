// Any bytes as what comes to a rank's port: a beginning is judged as the whole is, what is complete
// is what its encoding says, and nobody is let in that the rules do not ask for.
#include <algorithm>
#include <cstdlib>

#include "engine/comm/handshake.h"

namespace kiln::comm {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class Array>
bool same(const Array& words, std::span<const std::byte> bytes) {
  return std::ranges::equal(words, bytes);
}

// Read as it comes, byte by byte, up to the first that decides.
void try_hello(std::span<const std::byte> bytes) {
  Hello hello;
  std::size_t size = 0;
  Reading reading = Reading::incomplete;
  while (reading == Reading::incomplete && size < std::min(bytes.size(), kHelloBytes))
    reading = read_hello(bytes.first(++size), hello);
  if (size > 0 && size == bytes.size()) {
    Hello again;
    require(read_hello(bytes, again) == reading);
  }
  if (reading != Reading::complete) return;
  Answer answer;
  const HelloRules rules{.kind = HelloKind::join, .size = 4, .least_rank = 1, .run = 77};
  const Judgement judgement = judge(hello, rules, answer);
  require((judgement == Judgement::refused) == (answer.verdict != Verdict::welcome));
  if (hello.version != kHandshakeVersion) return require(judgement == Judgement::refused);
  require(size == kHelloBytes && same(encode(hello), bytes.first(size)));
  if (judgement == Judgement::welcome)
    require(hello.run == rules.run && hello.rank >= 1 && hello.rank < 4 && hello.port > 0);
}

void try_answer(std::span<const std::byte> bytes) {
  Answer answer;
  if (read_answer(bytes, answer) != Reading::complete) return;
  require(answer.verdict == Verdict::other_version ||
          same(encode(answer), bytes.first(kAnswerBytes)));
}

void try_places(std::span<const std::byte> bytes) {
  std::vector<RankPlace> places;
  if (read_places(bytes, places)) require(same(encode(places), bytes));
}

}  // namespace
}  // namespace kiln::comm

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  kiln::comm::try_hello(bytes);
  kiln::comm::try_answer(bytes);
  kiln::comm::try_places(bytes);
  return 0;
}
