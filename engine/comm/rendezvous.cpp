#include "engine/comm/rendezvous.h"

#include <algorithm>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <utility>

#include "engine/comm/doorman.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

using namespace std::chrono_literals;
using comm::Answer;
using comm::Doorman;
using comm::Guest;
using comm::Hello;
using comm::HelloKind;
using comm::HelloRules;
using comm::RankPlace;
using comm::Reading;
using comm::Verdict;
using Clock = comm::SocketClock;

constexpr auto kConnectTime = 3s;  // of an attempt
constexpr auto kAnswerTime = 5s;   // a rank answers at once
constexpr auto kPause = 50ms;      // between two rounds of attempts

[[noreturn]] void fail(int rank, const std::string& what) {
  throw Error(ErrorKind::io, "rank " + std::to_string(rank), what);
}

std::string seconds(std::chrono::milliseconds time) {
  return std::to_string((time.count() + 500) / 1000) + " s";
}

bool is_open(int socket) {
  char byte = 0;
  return ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

void send_answer(int socket, const Answer& answer) {
  const auto words = comm::encode(answer);
  comm::send_whole(socket, words.data(), words.size());
}

bool send_hello(int socket, const Hello& hello) {
  const auto words = comm::encode(hello);
  return comm::send_whole(socket, words.data(), words.size());
}

// A stranger's, or none, is no answer.
bool receive_answer(int socket, Answer& answer, Clock::time_point end) {
  std::byte bytes[comm::kAnswerBytes];
  return comm::receive_whole(socket, bytes, sizeof bytes, end) &&
         comm::read_answer(bytes, answer) == Reading::complete;
}

// One rank's part of the meeting.
class Meeter {
 public:
  Meeter(const MeetingPlace& place, const WatchOptions& options)
      : place_(place),
        options_(options),
        run_(comm::run_identity(place.run)),
        end_(Clock::now() + options.deadline) {}

  Meeting meet();

 private:
  std::string own_host() const { return place_.one_machine ? place_.address : std::string(); }
  int last_port() const { return std::min(place_.port + MeetingPlace::kPorts - 1, 65535); }
  Hello hello(HelloKind kind, int port) const {
    return {.kind = kind,
            .size = static_cast<std::uint32_t>(place_.size),
            .rank = static_cast<std::uint32_t>(place_.rank),
            .run = run_,
            .port = static_cast<std::uint32_t>(port)};
  }
  HelloRules rules(HelloKind kind) const {
    return {.kind = kind,
            .size = static_cast<std::uint32_t>(place_.size),
            .least_rank = static_cast<std::uint32_t>(place_.rank + 1),
            .run = run_};
  }

  void host();
  comm::Listener listen_as_host() const;
  void gather(Doorman& door);
  void admit(Guest guest);
  [[noreturn]] void give_up(const Doorman& door);

  void join();
  UniqueFd reach_host(int own_port, int& host_port) const;
  Verdict try_port(int port, const Hello& own, UniqueFd& socket) const;
  [[noreturn]] void turned_away(const Answer& answer, const Hello& own) const;
  void receive_places(UniqueFd& socket, int host_port);

  void connect_all(Doorman& door);
  UniqueFd connect_to_rank(int rank) const;
  bool is_welcome(int socket, Clock::time_point end) const;

  const MeetingPlace& place_;
  const WatchOptions& options_;
  const std::uint64_t run_;
  const Clock::time_point end_;
  struct Member {
    UniqueFd socket;
    bool came = false;
    RankPlace at;
  };
  std::vector<Member> members_;    // rank 0: by rank
  std::vector<RankPlace> places_;  // by rank
  std::optional<Doorman> door_;
  Meeting meeting_;
};

comm::Listener Meeter::listen_as_host() const {
  for (int port = place_.port; port <= last_port(); ++port) {
    comm::Listener listener = comm::listen_at(own_host(), port, place_.size + 64);
    if (listener.socket) return listener;
  }
  fail(0, "cannot listen: the ports " + std::to_string(place_.port) + " to " +
              std::to_string(last_port()) + " are all taken");
}

// The others are told, so that all name the same rank.
void Meeter::give_up(const Doorman& door) {
  const auto missing = std::ranges::find_if(members_.begin() + 1, members_.end(),
                                            [](const Member& m) { return !m.socket; });
  const auto rank = static_cast<int>(missing - members_.begin());
  for (const Member& member : members_)
    if (member.socket)
      send_answer(member.socket.get(), {Verdict::missing, static_cast<std::uint32_t>(rank)});
  std::string what = missing->came ? "came to rank 0 and went away again"
                                   : "did not come to rank 0 within " + seconds(options_.deadline);
  if (!door.last_refusal().empty()) what += "; a process was turned away: " + door.last_refusal();
  fail(rank, what);
}

void Meeter::admit(Guest guest) {
  if (!is_open(guest.socket.get())) return;  // it has lost patience, and comes again
  Member& member = members_[guest.hello.rank];
  if (member.socket && is_open(member.socket.get()))
    return send_answer(guest.socket.get(), {Verdict::taken, 0});
  send_answer(guest.socket.get(), {});
  member = {.socket = std::move(guest.socket), .came = true, .at = {}};
  member.at = {comm::peer_address(member.socket.get()), guest.hello.port};
}

void Meeter::gather(Doorman& door) {
  const auto missing = [&] {
    return std::any_of(members_.begin() + 1, members_.end(),
                       [](const Member& m) { return !m.socket; });
  };
  while (missing()) {
    const int left = comm::milliseconds_until(end_);
    if (left == 0) give_up(door);
    std::vector<pollfd> others;
    for (const Member& member : members_)
      others.push_back({.fd = member.socket.get(), .events = POLLIN, .revents = 0});
    std::optional<Guest> guest = door.next(left, others);
    // A rank that waits says nothing: it is gone, or no rank.
    for (std::size_t i = 0; i < others.size(); ++i)
      if (others[i].revents != 0) members_[i].socket.reset();
    if (guest) admit(std::move(*guest));
  }
}

void Meeter::host() {
  members_.resize(static_cast<std::size_t>(place_.size));
  door_.emplace(listen_as_host().socket, rules(HelloKind::join));
  gather(*door_);
  std::vector<RankPlace> places;
  for (const Member& member : members_) places.push_back(member.at);
  places[0].port = static_cast<std::uint32_t>(place_.port);  // they know a better one
  const std::vector<std::byte> words = comm::encode(places);
  std::vector<RankConnection> connections;
  for (std::size_t r = 1; r < members_.size(); ++r) {
    UniqueFd& socket = members_[r].socket;
    comm::set_blocking(socket.get(), true);
    comm::set_rank_options(socket.get(), kConnectTime);
    send_answer(socket.get(), {});
    comm::send_whole(socket.get(), words.data(), words.size());
    connections.push_back({static_cast<int>(r), std::move(socket)});
  }
  meeting_.watch = std::make_unique<RankWatch>(0, options_, std::move(connections));
  door_->set_rules(rules(HelloKind::data));
}

void Meeter::turned_away(const Answer& answer, const Hello& own) const {
  throw Error(ErrorKind::usage, "rank " + std::to_string(place_.rank),
              "was turned away by rank 0: " + comm::reason_of(answer, own),
              "start every rank with the same program and number of ranks");
}

// missing: nobody of ours is there.
Verdict Meeter::try_port(int port, const Hello& own, UniqueFd& socket) const {
  socket = comm::connect_to(place_.address, port, kConnectTime);
  Answer answer;
  if (!socket || !send_hello(socket.get(), own) ||
      !receive_answer(socket.get(), answer, std::min(Clock::now() + kAnswerTime, end_)))
    return Verdict::missing;
  if (answer.verdict != Verdict::welcome && answer.verdict != Verdict::other_run)
    turned_away(answer, own);
  return answer.verdict;
}

UniqueFd Meeter::reach_host(int own_port, int& host_port) const {
  const Hello own = hello(HelloKind::join, own_port);
  bool other_run = false;
  do {
    for (int port = place_.port; port <= last_port(); ++port) {
      UniqueFd socket;
      const Verdict verdict = try_port(port, own, socket);
      host_port = port;
      if (verdict == Verdict::welcome) return socket;
      other_run = other_run || verdict == Verdict::other_run;
      if (Clock::now() >= end_) break;
    }
    std::this_thread::sleep_for(kPause);
  } while (Clock::now() < end_);
  fail(0, "cannot be reached from rank " + std::to_string(place_.rank) + " at " +
              printable(place_.address) + ", ports " + std::to_string(place_.port) + " to " +
              std::to_string(last_port()) + ", within " + seconds(options_.deadline) +
              (other_run ? "; another run listens there" : ""));
}

// A rank that rank 0 sees at the loopback is on rank 0's machine.
void Meeter::receive_places(UniqueFd& socket, int host_port) {
  std::vector<std::byte> words(static_cast<std::size_t>(place_.size) * comm::kPlaceBytes);
  Answer answer;
  // Rank 0 has begun later, or tells who is missing.
  const auto end = Clock::now() + options_.deadline + kAnswerTime;
  if (!receive_answer(socket.get(), answer, end))
    fail(0, is_open(socket.get())
                ? "hangs: nothing was heard of it for " + seconds(options_.deadline + kAnswerTime)
                : "has died: its connection is closed");
  if (answer.verdict == Verdict::missing)
    fail(static_cast<int>(answer.detail),
         "did not come to rank 0 within " + seconds(options_.deadline));
  if (!comm::receive_whole(socket.get(), words.data(), words.size(), Clock::now() + kAnswerTime) ||
      !comm::read_places(words, places_))
    fail(0, "did not say where the other ranks are");
  places_[0] = {comm::peer_address(socket.get()), static_cast<std::uint32_t>(host_port)};
  for (RankPlace& place : places_)
    if (comm::is_loopback(place.address)) place.address = places_[0].address;
}

void Meeter::join() {
  comm::Listener own = comm::listen_at(own_host(), 0, place_.size);
  door_.emplace(std::move(own.socket), rules(HelloKind::data));
  int host_port = 0;
  UniqueFd socket = reach_host(own.port, host_port);
  receive_places(socket, host_port);
  std::vector<RankConnection> connections;
  connections.push_back({0, std::move(socket)});
  meeting_.watch = std::make_unique<RankWatch>(place_.rank, options_, std::move(connections));
}

// The other answers when it has reached those before it.
bool Meeter::is_welcome(int socket, Clock::time_point end) const {
  pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
  while (::poll(&ready, 1, 100) == 0 && Clock::now() < end) meeting_.watch->check();
  Answer answer;
  return receive_answer(socket, answer, Clock::now() + kAnswerTime) &&
         answer.verdict == Verdict::welcome;
}

UniqueFd Meeter::connect_to_rank(int rank) const {
  const RankPlace& at = places_[static_cast<std::size_t>(rank)];
  const auto end = Clock::now() + options_.deadline;
  do {
    meeting_.watch->check();
    UniqueFd socket = comm::connect_to(at.address, static_cast<int>(at.port), kConnectTime);
    if (socket && send_hello(socket.get(), hello(HelloKind::data, 0)) &&
        is_welcome(socket.get(), end))
      return socket;
    std::this_thread::sleep_for(kPause);
  } while (Clock::now() < end);
  fail(rank, "cannot be reached from rank " + std::to_string(place_.rank) + " at " +
                 comm::to_string(at.address) + ", port " + std::to_string(at.port));
}

// Every rank connects to those before it and takes in those behind it. Nobody waits in a circle:
// who is asked answers as soon as those before it have.
void Meeter::connect_all(Doorman& door) {
  const RankWatch::Wait wait(*meeting_.watch);
  std::vector<UniqueFd>& sockets = meeting_.sockets;
  sockets.resize(static_cast<std::size_t>(place_.size));
  for (int rank = 0; rank < place_.rank; ++rank)
    sockets[static_cast<std::size_t>(rank)] = connect_to_rank(rank);
  const auto behind = sockets.begin() + place_.rank + 1;
  while (std::any_of(behind, sockets.end(), [](const UniqueFd& s) { return !s; })) {
    meeting_.watch->check();
    std::vector<pollfd> nobody;
    std::optional<Guest> guest = door.next(1000, nobody);
    if (!guest || !is_open(guest->socket.get())) continue;
    send_answer(guest->socket.get(), {});
    sockets[guest->hello.rank] = std::move(guest->socket);  // again: its answer was lost
  }
  for (const UniqueFd& socket : sockets) {
    if (!socket) continue;
    comm::set_rank_options(socket.get(), kConnectTime);
    comm::set_blocking(socket.get(), false);
  }
}

Meeting Meeter::meet() {
  if (place_.rank == 0)
    host();
  else
    join();
  try {
    connect_all(*door_);
  } catch (const Error& error) {
    meeting_.watch->abandon(std::string("has failed: ") + error.what());
    throw;
  }
  return std::move(meeting_);
}

}  // namespace

MeetingPlace meeting_place(const RankEnvironment& e) {
  constexpr const char* kMend = "start the ranks with torchrun, or with kiln train --ranks";
  if (e.address.empty())
    throw Error(ErrorKind::usage, "MASTER_ADDR", "is not set: where do the ranks meet?", kMend);
  const int port = e.port + (e.launcher_holds_port ? 1 : 0);
  if (e.port < 1 || port > 65535)
    throw Error(ErrorKind::usage, "MASTER_PORT", "is no port at which the ranks can meet", kMend);
  return {.rank = e.rank,
          .size = e.size,
          .address = e.address,
          .port = port,
          .run = e.run + " " + std::to_string(e.port),
          .one_machine = e.local_size == e.size};
}

Meeting meet_ranks(const MeetingPlace& place, const WatchOptions& options) {
  if (place.size < 2 || place.size > comm::kMostTcpRanks)
    throw Error(ErrorKind::unsupported, std::to_string(place.size) + " ranks",
                "cannot meet over TCP: 2 to " + std::to_string(comm::kMostTcpRanks) + " can");
  return Meeter(place, options).meet();
}

}  // namespace kiln
