#include "engine/comm/handshake.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace kiln::comm {
namespace {

const Hello kJoin{.kind = HelloKind::join, .size = 4, .rank = 2, .run = 77, .port = 5000};
const HelloRules kRules{.kind = HelloKind::join, .size = 4, .least_rank = 1, .run = 77};

using Bytes = std::vector<std::byte>;

Bytes bytes_of(const Hello& hello) {
  const auto array = encode(hello);
  return {array.begin(), array.end()};
}

TEST(Handshake, AHelloComesBackAsItWasSent) {
  Hello read;
  ASSERT_EQ(read_hello(bytes_of(kJoin), read), Reading::complete);
  EXPECT_EQ(read.kind, kJoin.kind);
  EXPECT_EQ(read.size, kJoin.size);
  EXPECT_EQ(read.rank, kJoin.rank);
  EXPECT_EQ(read.run, kJoin.run);
  EXPECT_EQ(read.port, kJoin.port);
}

TEST(Handshake, NoBeginningIsTakenForTheWhole) {
  const Bytes whole = bytes_of(kJoin);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Hello read;
    EXPECT_EQ(read_hello(std::span(whole).first(size), read), Reading::incomplete) << size;
  }
}

// Of magic, kind, size, rank, port and the zero behind it; the run is judged, not read.
TEST(Handshake, AWrongByteMakesAStranger) {
  for (const std::size_t at : {0, 7, 13, 18, 22, 34, 36, 39}) {
    Bytes bytes = bytes_of(kJoin);
    bytes[at] ^= std::byte{0x81};
    Hello read;
    EXPECT_EQ(read_hello(bytes, read), Reading::stranger) << at;
  }
}

TEST(Handshake, NumbersThatCannotBeMakeAStranger) {
  const auto reading = [](Hello hello) {
    Hello read;
    return read_hello(bytes_of(hello), read);
  };
  Hello h = kJoin;
  EXPECT_EQ(reading(h), Reading::complete);
  h.rank = h.size;
  EXPECT_EQ(reading(h), Reading::stranger);
  h = kJoin;
  h.size = kMostTcpRanks + 1;
  EXPECT_EQ(reading(h), Reading::stranger);
  h = kJoin;
  h.port = 0;
  EXPECT_EQ(reading(h), Reading::stranger);
  h.kind = HelloKind::data;
  EXPECT_EQ(reading(h), Reading::complete);
}

TEST(Handshake, OfAnotherVersionNothingElseIsRead) {
  Hello other = kJoin, read;
  other.version = kHandshakeVersion + 1;
  const Bytes bytes = bytes_of(other);
  ASSERT_EQ(read_hello(std::span(bytes).first(12), read), Reading::complete);
  Answer answer;
  EXPECT_EQ(judge(read, kRules, answer), Judgement::refused);
  EXPECT_EQ(answer.verdict, Verdict::other_version);
}

TEST(Handshake, IsJudgedByRunThenSizeThenRank) {
  const auto verdict = [](const Hello& hello) {
    Answer answer;
    EXPECT_EQ(judge(hello, kRules, answer), Judgement::refused);
    return answer.verdict;
  };
  Answer answer;
  EXPECT_EQ(judge(kJoin, kRules, answer), Judgement::welcome);
  Hello h = kJoin;
  h.size = 5;
  EXPECT_EQ(verdict(h), Verdict::other_size);
  h.run = 78;
  EXPECT_EQ(verdict(h), Verdict::other_run);
  h = kJoin;
  h.rank = 0;  // rank 0 does not join itself
  EXPECT_EQ(judge(h, kRules, answer), Judgement::stranger);
  h = kJoin;
  h.kind = HelloKind::data;
  EXPECT_EQ(judge(h, kRules, answer), Judgement::stranger);
}

TEST(Handshake, AnswersAndPlacesComeBack) {
  Answer read;
  const auto bytes = encode(Answer{Verdict::other_size, 9});
  ASSERT_EQ(read_answer(bytes, read), Reading::complete);
  EXPECT_EQ(read.verdict, Verdict::other_size);
  EXPECT_EQ(read.detail, 9u);
  EXPECT_EQ(read_answer(std::span(bytes).first(19), read), Reading::incomplete);
  std::vector<RankPlace> places(3), back;
  for (std::size_t i = 0; i < places.size(); ++i) {
    places[i].port = static_cast<std::uint32_t>(1000 + i);
    places[i].address.s6_addr[15] = static_cast<std::uint8_t>(i);
  }
  ASSERT_TRUE(read_places(encode(places), back));
  ASSERT_EQ(back.size(), 3u);
  EXPECT_EQ(back[2].port, 1002u);
  EXPECT_EQ(back[2].address.s6_addr[15], 2);
  places[1].port = 65536;
  EXPECT_FALSE(read_places(encode(places), back));
}

TEST(Handshake, RunsAreToldApartByTheirNames) {
  EXPECT_EQ(run_identity("a 1"), run_identity("a 1"));
  EXPECT_NE(run_identity("a 1"), run_identity("a 2"));
}

}  // namespace
}  // namespace kiln::comm
