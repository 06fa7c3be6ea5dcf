#include "engine/comm/handshake.h"

#include <algorithm>
#include <cstring>

namespace kiln::comm {
namespace {

constexpr std::string_view kHelloMagic = "KILNRANK", kAnswerMagic = "KILNHOST";
constexpr std::uint32_t kMostPort = 65535;

template <class T>
void put(std::byte*& at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    *at++ = static_cast<std::byte>((value >> (8 * i)) & 0xff);
}

void put_magic(std::byte*& at, std::string_view magic) {
  std::memcpy(at, magic.data(), magic.size());
  at += magic.size();
}

template <class T>
T take(const std::byte*& at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value |= static_cast<T>(std::to_integer<T>(*at++) << (8 * i));
  return value;
}

bool begins_with(std::span<const std::byte> bytes, std::string_view magic) {
  return std::memcmp(bytes.data(), magic.data(), std::min(bytes.size(), magic.size())) == 0;
}

}  // namespace

std::array<std::byte, kHelloBytes> encode(const Hello& hello) {
  std::array<std::byte, kHelloBytes> bytes{};
  std::byte* at = bytes.data();
  put_magic(at, kHelloMagic);
  put(at, hello.version);
  put(at, static_cast<std::uint32_t>(hello.kind));
  put(at, hello.size);
  put(at, hello.rank);
  put(at, hello.run);
  put(at, hello.port);
  return bytes;
}

std::array<std::byte, kAnswerBytes> encode(const Answer& answer) {
  std::array<std::byte, kAnswerBytes> bytes{};
  std::byte* at = bytes.data();
  put_magic(at, kAnswerMagic);
  put(at, kHandshakeVersion);
  put(at, static_cast<std::uint32_t>(answer.verdict));
  put(at, answer.detail);
  return bytes;
}

std::vector<std::byte> encode(std::span<const RankPlace> places) {
  std::vector<std::byte> bytes(places.size() * kPlaceBytes);
  std::byte* at = bytes.data();
  for (const RankPlace& place : places) {
    std::memcpy(at, place.address.s6_addr, sizeof place.address.s6_addr);
    at += sizeof place.address.s6_addr;
    put(at, place.port);
  }
  return bytes;
}

Reading read_hello(std::span<const std::byte> bytes, Hello& hello) {
  constexpr std::size_t kVersionEnd = 12;
  if (!begins_with(bytes, kHelloMagic)) return Reading::stranger;
  if (bytes.size() < kVersionEnd) return Reading::incomplete;
  const std::byte* at = bytes.data() + kHelloMagic.size();
  hello = {.version = take<std::uint32_t>(at)};
  if (hello.version != kHandshakeVersion) return Reading::complete;
  if (bytes.size() < kHelloBytes) return Reading::incomplete;
  const auto kind = take<std::uint32_t>(at);
  if (kind > static_cast<std::uint32_t>(HelloKind::data)) return Reading::stranger;
  hello.kind = static_cast<HelloKind>(kind);
  hello.size = take<std::uint32_t>(at);
  hello.rank = take<std::uint32_t>(at);
  hello.run = take<std::uint64_t>(at);
  hello.port = take<std::uint32_t>(at);
  const bool listens = hello.port >= 1 && hello.port <= kMostPort;
  const bool holds = hello.size >= 2 && hello.size <= kMostTcpRanks && hello.rank < hello.size &&
                     (hello.kind == HelloKind::join ? listens : hello.port == 0) &&
                     take<std::uint32_t>(at) == 0 && bytes.size() == kHelloBytes;
  return holds ? Reading::complete : Reading::stranger;
}

Reading read_answer(std::span<const std::byte> bytes, Answer& answer) {
  if (!begins_with(bytes, kAnswerMagic)) return Reading::stranger;
  if (bytes.size() < kAnswerBytes) return Reading::incomplete;
  const std::byte* at = bytes.data() + kAnswerMagic.size();
  const auto version = take<std::uint32_t>(at), verdict = take<std::uint32_t>(at);
  answer.detail = take<std::uint32_t>(at);
  if (version != kHandshakeVersion) {
    answer = {Verdict::other_version, version};
    return Reading::complete;
  }
  if (verdict > static_cast<std::uint32_t>(Verdict::missing)) return Reading::stranger;
  answer.verdict = static_cast<Verdict>(verdict);
  return Reading::complete;
}

bool read_places(std::span<const std::byte> bytes, std::vector<RankPlace>& places) {
  places.clear();
  const std::byte* at = bytes.data();
  for (std::size_t i = 0; i < bytes.size() / kPlaceBytes; ++i) {
    RankPlace place;
    std::memcpy(place.address.s6_addr, at, sizeof place.address.s6_addr);
    at += sizeof place.address.s6_addr;
    place.port = take<std::uint32_t>(at);
    if (place.port < 1 || place.port > kMostPort) return false;
    places.push_back(place);
  }
  return bytes.size() % kPlaceBytes == 0;
}

Judgement judge(const Hello& hello, const HelloRules& rules, Answer& answer) {
  answer = {};
  const auto refuse = [&](Verdict verdict, std::uint32_t detail = 0) {
    answer = {verdict, detail};
    return Judgement::refused;
  };
  if (hello.version != kHandshakeVersion) return refuse(Verdict::other_version, kHandshakeVersion);
  if (hello.run != rules.run) return refuse(Verdict::other_run);
  if (hello.size != rules.size) return refuse(Verdict::other_size, rules.size);
  if (hello.kind != rules.kind || hello.rank < rules.least_rank || hello.rank >= rules.size)
    return Judgement::stranger;
  return Judgement::welcome;
}

std::uint64_t run_identity(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace kiln::comm
