#include "engine/comm/rank_watch.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <random>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/comm/sockets.h"

namespace kiln {

using namespace std::chrono_literals;

// What goes over a connection, always of this size; all ranks are of one build.
struct RankWatch::Message {
  // A fault is what others see of a rank, last words are what it says itself.
  enum Kind : std::uint32_t { kHello, kWelcome, kBeat, kFarewell, kFault, kLastWords };
  std::uint32_t kind = kBeat;
  std::int32_t rank = 0;  // of the sender, or the one at fault
  std::int64_t token = 0;
  std::uint64_t collectives = 0;
  std::uint32_t waiting_ms = 0;
  char text[484] = {};
};

namespace {

constexpr auto kBeatInterval = 200ms;
constexpr auto kConnectTime = 3s;

[[noreturn]] void fail(const std::string& thing, const std::string& what) {
  throw Error(ErrorKind::io, thing, what);
}

bool is_loopback(const in_addr& address) { return (ntohl(address.s_addr) >> 24) == 127; }

// The IPv4 addresses of this machine, the loopback's last.
std::string own_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return "127.0.0.1";
  std::vector<std::string> near, far;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    if ((at->ifa_flags & IFF_UP) == 0) continue;
    sockaddr_in address{};
    std::memcpy(&address, at->ifa_addr, sizeof address);
    char text[INET_ADDRSTRLEN];
    if (::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text) == nullptr) continue;
    (is_loopback(address.sin_addr) ? near : far).emplace_back(text);
  }
  ::freeifaddrs(list);
  std::string text;
  for (const auto* some : {&far, &near})
    for (const std::string& address : *some) text += (text.empty() ? "" : " ") + address;
  return text;
}

std::string seconds(std::chrono::milliseconds time) {
  return std::to_string((time.count() + 500) / 1000) + " s";
}

}  // namespace

RankWatch::RankWatch(int size, const WatchOptions& options) : RankWatch(0, size, options) {
  comm::Listener listener = comm::listen_at("", 0, size);
  listener_ = std::move(listener.socket);
  std::random_device random;
  address_ = {.hosts = own_addresses(),
              .port = listener.port,
              .token = static_cast<std::int64_t>((std::uint64_t{random()} << 32) | random())};
}

RankWatch::RankWatch(int rank, int size, const WatchOptions& options)
    : rank_(rank), size_(size), options_(options), wake_(::eventfd(0, EFD_CLOEXEC)) {
  if (!wake_) fail("rank " + std::to_string(rank), "has no eventfd: " + errno_text(errno));
}

RankWatch::RankWatch(int rank, const WatchOptions& options, std::vector<RankConnection> connections)
    : RankWatch(rank, 0, options) {
  for (RankConnection& connection : connections)
    add_peer(connection.rank, std::move(connection.socket));
  start();
}

void RankWatch::add_peer(int rank, UniqueFd socket) {
  comm::set_rank_options(socket.get(), kConnectTime);
  Peer& peer = peers_.emplace_back();
  peer.rank = rank;
  peer.socket = std::move(socket);
}

RankWatch::~RankWatch() {
  stopping_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t woken = ::write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

// Strangers, who do not know the token, are turned away.
void RankWatch::gather() {
  const auto end = Clock::now() + options_.deadline;
  std::vector<bool> here(static_cast<std::size_t>(size_));
  here[0] = true;
  while (peers_.size() + 1 < here.size()) {
    pollfd ready{.fd = listener_.get(), .events = POLLIN, .revents = 0};
    const int left = comm::milliseconds_until(end);
    if (left == 0 || ::poll(&ready, 1, left) == 0) {
      // Those who have come are told, so that all name the same rank.
      set_fault(static_cast<int>(std::ranges::find(here, false) - here.begin()),
                "did not come to rank 0 within " + seconds(options_.deadline));
      throw_fault();
    }
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) continue;
    Message hello;
    if (!comm::receive_whole(socket.get(), &hello, sizeof hello, Clock::now() + kConnectTime) ||
        hello.kind != Message::kHello || hello.token != address_.token || hello.rank < 1 ||
        hello.rank >= size_ || here[static_cast<std::size_t>(hello.rank)])
      continue;
    here[static_cast<std::size_t>(hello.rank)] = true;
    const Message welcome = message(Message::kWelcome);
    comm::send_whole(socket.get(), &welcome, sizeof welcome);
    add_peer(hello.rank, std::move(socket));
  }
  listener_.reset();
  start();
}

void RankWatch::connect(const WatchAddress& address) {
  const auto end = Clock::now() + options_.deadline;
  address_ = address;
  do {
    for (std::size_t at = 0; at < address.hosts.size();) {
      const std::size_t space = std::min(address.hosts.find(' ', at), address.hosts.size());
      if (try_address(address.hosts.substr(at, space - at), address)) return start();
      at = space + 1;
    }
    std::this_thread::sleep_for(100ms);
  } while (Clock::now() < end);
  fail("rank 0", "cannot be reached from rank " + std::to_string(rank_) + " at " +
                     printable(address.hosts) + ", port " + std::to_string(address.port));
}

bool RankWatch::try_address(const std::string& host, const WatchAddress& address) {
  UniqueFd socket = comm::connect_to(host, static_cast<int>(address.port), kConnectTime);
  const Message hello = message(Message::kHello);
  Message welcome;
  if (!socket || !comm::send_whole(socket.get(), &hello, sizeof hello) ||
      !comm::receive_whole(socket.get(), &welcome, sizeof welcome, Clock::now() + kConnectTime) ||
      welcome.kind != Message::kWelcome || welcome.token != address.token)
    return false;
  add_peer(0, std::move(socket));
  return true;
}

void RankWatch::start() {
  for (Peer& peer : peers_) peer.heard = peer.moved = Clock::now();
  thread_ = std::thread([this] { run(); });
}

void RankWatch::run() {
  auto next_beat = Clock::now();
  Clock::time_point fault_seen{};
  while (!stopping_) {
    read_peers(50);
    if (Clock::now() >= next_beat) {
      beat();
      next_beat = Clock::now() + kBeatInterval;
    }
    if (!faulty()) look_for_silence();
    if (!faulty() && rank_ == 0) look_for_waits();
    if (!faulty()) continue;
    if (fault_seen == Clock::time_point{}) {
      fault_seen = Clock::now();
      if (options_.on_fault && fault_of_another()) options_.on_fault(fault());
    }
    if (Clock::now() - fault_seen > options_.grace && options_.on_stuck && !stopping_)
      return options_.on_stuck(fault());
  }
  if (!faulty()) send_all(message(Message::kFarewell));
}

void RankWatch::read_peers(int timeout_ms) {
  std::vector<pollfd> ready;
  for (const Peer& peer : peers_)
    ready.push_back({.fd = peer.gone ? -1 : peer.socket.get(), .events = POLLIN, .revents = 0});
  ready.push_back({.fd = wake_.get(), .events = POLLIN, .revents = 0});
  if (::poll(ready.data(), ready.size(), timeout_ms) <= 0) return;
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    if (ready[i].revents == 0) continue;
    Peer& peer = peers_[i];
    std::byte bytes[16 * sizeof(Message)];
    const ssize_t size = ::recv(peer.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (size <= 0) {
      peer.gone = true;
      set_fault(peer.rank, "has died: its connection is closed");
      continue;
    }
    peer.received.insert(peer.received.end(), bytes, bytes + size);
    std::size_t at = 0;
    for (; at + sizeof(Message) <= peer.received.size(); at += sizeof(Message)) {
      Message message;
      std::memcpy(&message, peer.received.data() + at, sizeof message);
      take(peer, message);
    }
    peer.received.erase(peer.received.begin(),
                        peer.received.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

void RankWatch::take(Peer& peer, const Message& m) {
  peer.heard = Clock::now();
  if (m.kind == Message::kFarewell) peer.gone = true;
  if (m.kind == Message::kFault || m.kind == Message::kLastWords)
    set_fault(m.rank, {m.text, ::strnlen(m.text, sizeof m.text)}, m.kind == Message::kLastWords);
  if (m.kind != Message::kBeat) return;
  if (m.collectives != peer.collectives) peer.moved = Clock::now();
  peer.collectives = m.collectives;
  peer.waiting_ms = m.waiting_ms;
}

void RankWatch::beat() { send_all(message(Message::kBeat)); }

void RankWatch::look_for_silence() {
  for (const Peer& peer : peers_)
    if (!peer.gone && Clock::now() - peer.heard > options_.deadline)
      return set_fault(peer.rank,
                       "hangs: nothing was heard of it for " + seconds(options_.deadline));
}

// Somebody has waited too long. To blame is the rank that is in no collective, of several the one
// that is furthest behind.
void RankWatch::look_for_waits() {
  struct State {
    int rank;
    std::uint64_t collectives;
    bool waits;
  };
  std::vector<State> states = {{0, collectives_, waiting_ms() > 0}};
  auto longest = std::chrono::milliseconds(waiting_ms());
  for (const Peer& peer : peers_) {
    if (peer.gone) continue;
    states.push_back({peer.rank, peer.collectives, peer.waiting_ms > 0});
    longest = std::max(longest, std::chrono::milliseconds(peer.waiting_ms));
  }
  if (longest < options_.deadline || states.size() < 2) return;
  const State& worst = *std::ranges::min_element(states, [](const State& a, const State& b) {
    return std::pair(a.waits, a.collectives) < std::pair(b.waits, b.collectives);
  });
  const bool all_equal = std::ranges::all_of(
      states, [&](const State& s) { return s.waits && s.collectives == worst.collectives; });
  set_fault(worst.rank,
            all_equal ? "and all others wait in one collective: the network between them hangs"
                      : "hangs: others have waited for it for " + seconds(options_.deadline));
}

void RankWatch::set_fault(int rank, std::string_view why, bool last_words) {
  {
    const std::lock_guard lock(fault_mutex_);
    if (fault_rank_ >= 0) return;
    fault_rank_ = rank;
    fault_ = why;
    last_words_ = last_words;
  }
  faulty_.store(true, std::memory_order_release);
  Message m = message(last_words ? Message::kLastWords : Message::kFault);
  m.rank = rank;
  std::memcpy(m.text, why.data(), std::min(why.size(), sizeof m.text - 1));
  if (rank_ == 0 || rank == rank_) send_all(m);
}

void RankWatch::abandon(std::string_view why) noexcept {
  try {
    set_fault(rank_, why, true);
  } catch (const std::exception&) {
    // Without memory the closing connection still says that this rank is gone.
  }
}

Error RankWatch::fault() const {
  const std::lock_guard lock(fault_mutex_);
  return {ErrorKind::io, "rank " + std::to_string(fault_rank_), fault_,
          last_words_ ? "" : "go on with --resume when all ranks are well"};
}

bool RankWatch::fault_of_another() const {
  const std::lock_guard lock(fault_mutex_);
  return fault_rank_ != rank_;
}

void RankWatch::throw_fault() const { throw fault(); }

RankWatch::Message RankWatch::message(std::uint32_t kind) const {
  Message m;
  m.kind = kind;
  m.rank = rank_;
  m.token = address_.token;
  m.collectives = collectives_;
  m.waiting_ms = waiting_ms();
  return m;
}

void RankWatch::send_all(const Message& m) noexcept {
  const std::lock_guard lock(send_mutex_);
  for (const Peer& peer : peers_)
    if (!peer.gone) comm::send_whole(peer.socket.get(), &m, sizeof m);
}

std::uint32_t RankWatch::waiting_ms() const {
  const std::int64_t began = wait_began_ns_;
  if (began == 0) return 0;
  const std::int64_t now = Clock::now().time_since_epoch().count();
  return static_cast<std::uint32_t>(std::max<std::int64_t>(1, (now - began) / 1000000));
}

RankWatch::Wait::Wait(RankWatch& watch) : watch_(watch) {
  watch.wait_began_ns_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}
RankWatch::Wait::~Wait() { watch_.wait_began_ns_.store(0, std::memory_order_relaxed); }

}  // namespace kiln
