#include "engine/comm/tcp_communicator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <thread>
#include <utility>

#include "engine/comm/collective.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

using namespace std::chrono_literals;
using comm::Kind;

// Goes before what a collective sends to a rank; all ranks are of one build.
struct Header {
  std::uint64_t number = 0;
  std::int64_t count = 0;
  Kind kind = Kind::barrier;
  std::uint32_t type = 0;
  std::int32_t root = 0;
  std::uint32_t zero = 0;

  bool operator==(const Header&) const = default;
};
static_assert(sizeof(Header) == 32);

// Sums are sent on in pieces of about this size.
constexpr std::size_t kPiece = std::size_t{1} << 15;

// For each rank room for what was received and not yet added, all together at most 32 MiB where
// that is enough for a piece of each. A power of two, and so a multiple of every element.
std::size_t window_size(int ranks) {
  constexpr std::size_t kMost = std::size_t{1} << 18, kAll = std::size_t{1} << 25;
  return std::clamp(std::bit_floor(kAll / static_cast<std::size_t>(ranks)), kPiece, kMost);
}

struct Bytes {
  std::byte* data = nullptr;
  std::size_t size = 0;
};

// A collective under way.
struct Collective {
  Header header;
  std::size_t element = 1;  // bytes of one
  std::byte* data = nullptr;
  std::byte* target = nullptr;  // all_gather, all_to_all
  std::size_t summed = 0;       // bytes of this rank's share
  int sent = 0, received = 0;   // ranks that this is done with
  bool busy = false, done = false;

  std::size_t bytes() const { return static_cast<std::size_t>(header.count) * element; }
};

// How far a connection is: in which collective, and how many bytes of it.
struct Cursor {
  std::uint64_t number = 0;
  std::size_t at = 0;
};

struct Peer {
  UniqueFd socket;
  Cursor out, in;
  Header header;  // as far as it has come
  std::vector<std::byte> window;
};

// The pieces of a message that are left from `at` on.
class Pieces {
 public:
  explicit Pieces(std::size_t at) : skip_(at) {}
  void add(const void* data, std::size_t size) {
    const std::size_t skipped = std::min(skip_, size);
    skip_ -= skipped;
    if (size > skipped)
      list_[count_++] = {const_cast<std::byte*>(static_cast<const std::byte*>(data)) + skipped,
                         size - skipped};
  }
  bool empty() const { return count_ == 0; }
  msghdr message() {
    msghdr m{};
    m.msg_iov = list_;
    m.msg_iovlen = count_;
    return m;
  }

 private:
  std::size_t skip_, count_ = 0;
  iovec list_[3];
};

class TcpCommunicator final : public Communicator {
 public:
  TcpCommunicator(const MeetingPlace& place, Meeting meeting)
      : Communicator(place.rank, place.size),
        several_machines_(!place.one_machine),
        window_(window_size(place.size)),
        watch_(std::move(meeting.watch)),
        inputs_(meeting.sockets.size()),
        ready_(meeting.sockets.size()) {
    for (std::size_t r = 0; r < meeting.sockets.size(); ++r) {
      Peer& peer = peers_.emplace_back();
      peer.socket = std::move(meeting.sockets[r]);
      if (peer.socket) peer.window.resize(window_);
    }
  }

  std::string description() const override { return std::to_string(size()) + " ranks, TCP"; }
  bool overlap_pays() const override { return several_machines_; }
  void barrier() override { run(Kind::barrier, {}); }
  void abandon(std::string_view why) noexcept override { watch_->abandon(why); }

 protected:
  void do_all_reduce(const comm::Elements& e) override { run(Kind::all_reduce, e); }
  int do_start_all_reduce(const comm::Elements& e) override {
    const int slot = post(Kind::all_reduce, e, 0, nullptr);
    progress();
    return slot;
  }
  bool do_test(int slot) override;
  void do_wait(int slot) override;
  void do_broadcast(const comm::Elements& e, int root) override { run(Kind::broadcast, e, root); }
  void do_all_gather(const comm::Elements& mine, void* all) override {
    run(Kind::all_gather, mine, 0, all);
  }
  void do_all_to_all(const comm::Elements& mine, void* theirs) override {
    run(Kind::all_to_all, mine, 0, theirs);
  }

 private:
  static constexpr std::size_t kMost = kMostReductions + 1;

  void run(Kind kind, const comm::Elements& e, int root = 0, void* target = nullptr) {
    do_wait(post(kind, e, root, target));
  }
  int post(Kind kind, const comm::Elements& e, int root, void* target);
  Collective& at(std::uint64_t number) {
    return collectives_[static_cast<std::size_t>(slots_[number % kMost])];
  }
  bool is_own(std::size_t r) const { return static_cast<int>(r) == rank(); }

  // What a collective moves between this rank and rank r: what the one has, then the sums that it
  // has computed, which are its share.
  Bytes share(const Collective& c, std::size_t r) const;
  Bytes part(const Collective& c, std::byte* whole, std::size_t r) const;
  Bytes first_out(const Collective& c, std::size_t r) const;
  Bytes first_in(const Collective& c, std::size_t r) const;
  Pieces outgoing(std::size_t r);
  Pieces incoming(std::size_t r);

  bool progress();
  bool push(std::size_t r);
  bool pull(std::size_t r);
  bool sum();
  static std::size_t received_of_first(const Cursor& in);
  std::size_t ready_to_sum(const Collective& c, std::size_t share_size) const;
  void add_up(Collective& c, std::byte* own, std::size_t end);
  void settle(Collective& c) const;
  void wait_for_sockets();
  [[noreturn]] void misfit(std::size_t r, const Collective& c) const;
  [[noreturn]] void lost(std::size_t r) const;

  const bool several_machines_;
  const std::size_t window_;
  std::unique_ptr<RankWatch> watch_;
  std::vector<Peer> peers_;  // by rank; its own is not used
  std::array<Collective, kMost> collectives_;
  std::array<int, kMost> slots_{};  // by number: where the collective is
  std::uint64_t next_ = 0;          // number of the next collective
  std::uint64_t unsummed_ = 0;      // the first whose share is not added up yet
  std::vector<void*> inputs_;       // room of add_up()
  std::vector<pollfd> ready_;       // room of wait_for_sockets()
};

int TcpCommunicator::post(Kind kind, const comm::Elements& e, int root, void* target) {
  watch_->check();
  watch_->count_collective();
  const auto free = std::ranges::find(collectives_, false, &Collective::busy);
  if (free == collectives_.end())
    throw Error(ErrorKind::io, "reductions", "are more than can be under way at a time");
  const auto slot = static_cast<int>(free - collectives_.begin());
  *free = {.header = {.number = next_,
                      .count = e.count,
                      .kind = kind,
                      .type = static_cast<std::uint32_t>(e.type),
                      .root = root},
           .element = size_of(e.type),
           .data = static_cast<std::byte*>(e.data),
           .target = static_cast<std::byte*>(target),
           .busy = true};
  slots_[next_ % kMost] = slot;
  ++next_;
  if (kind == Kind::all_gather && e.count > 0)
    std::memmove(free->target + static_cast<std::size_t>(rank()) * free->bytes(), free->data,
                 free->bytes());
  if (kind == Kind::all_to_all && e.count > 0) {
    const Bytes own = part(*free, free->data, static_cast<std::size_t>(rank()));
    std::memcpy(part(*free, free->target, static_cast<std::size_t>(rank())).data, own.data,
                own.size);
  }
  return slot;
}

Bytes TcpCommunicator::share(const Collective& c, std::size_t r) const {
  if (c.header.kind != Kind::all_reduce) return {};
  const comm::Share s = comm::share_of(c.header.count, static_cast<int>(r), size());
  return {c.data + static_cast<std::size_t>(s.first) * c.element,
          static_cast<std::size_t>(s.count()) * c.element};
}

// Rank r's part of what lies at `whole`.
Bytes TcpCommunicator::part(const Collective& c, std::byte* whole, std::size_t r) const {
  const std::size_t size = c.bytes() / peers_.size();
  return {whole + r * size, size};
}

Bytes TcpCommunicator::first_out(const Collective& c, std::size_t r) const {
  if (c.header.kind == Kind::all_to_all) return part(c, c.data, r);
  const bool whole = c.header.kind == Kind::all_gather ||
                     (c.header.kind == Kind::broadcast && c.header.root == rank());
  return whole ? Bytes{c.data, c.bytes()} : share(c, r);
}

// Of a sum: rank r's part of this rank's share, whose place is the window.
Bytes TcpCommunicator::first_in(const Collective& c, std::size_t r) const {
  switch (c.header.kind) {
    case Kind::all_reduce:
      return {nullptr, share(c, static_cast<std::size_t>(rank())).size};
    case Kind::all_gather:
      return {c.target + r * c.bytes(), c.bytes()};
    case Kind::broadcast:
      return c.header.root == static_cast<int>(r) ? Bytes{c.data, c.bytes()} : Bytes{};
    case Kind::all_to_all:
      return part(c, c.target, r);
    case Kind::barrier:
      break;
  }
  return {};
}

Pieces TcpCommunicator::outgoing(std::size_t r) {
  const Cursor& out = peers_[r].out;
  Pieces pieces(out.at);
  if (out.number == next_) return pieces;
  const Collective& c = at(out.number);
  const Bytes first = first_out(c, r);
  pieces.add(&c.header, sizeof c.header);
  pieces.add(first.data, first.size);
  pieces.add(share(c, static_cast<std::size_t>(rank())).data, c.summed);
  return pieces;
}

// Room for what comes next. A part of a sum goes to the window, once the collectives before have
// left that; it ends where the window does, and where what lies in it is not yet added.
Pieces TcpCommunicator::incoming(std::size_t r) {
  Peer& peer = peers_[r];
  if (peer.in.number == next_) return Pieces(0);
  const Collective& c = at(peer.in.number);
  const Bytes first = first_in(c, r), second = share(c, r);
  const std::size_t got = received_of_first(peer.in);
  if (c.header.kind != Kind::all_reduce || got >= first.size) {
    Pieces pieces(peer.in.at);
    pieces.add(&peer.header, sizeof peer.header);
    pieces.add(first.data, first.size);
    pieces.add(second.data, second.size);
    return pieces;
  }
  Pieces pieces(std::min(peer.in.at, sizeof peer.header));
  pieces.add(&peer.header, sizeof peer.header);
  const std::size_t begin = got % window_;
  if (peer.in.number == unsummed_)
    pieces.add(peer.window.data() + begin,
               std::min({first.size - got, window_ - begin, c.summed + window_ - got}));
  return pieces;
}

bool TcpCommunicator::push(std::size_t r) {
  Peer& peer = peers_[r];
  Pieces pieces = outgoing(r);
  if (pieces.empty()) return false;
  const msghdr message = pieces.message();
  const ssize_t sent = ::sendmsg(peer.socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (sent <= 0) lost(r);
  Collective& c = at(peer.out.number);
  peer.out.at += static_cast<std::size_t>(sent);
  const std::size_t own = share(c, static_cast<std::size_t>(rank())).size;
  if (peer.out.at == sizeof c.header + first_out(c, r).size + own) {
    peer.out = {peer.out.number + 1, 0};
    ++c.sent;
    settle(c);
  }
  return true;
}

bool TcpCommunicator::pull(std::size_t r) {
  Peer& peer = peers_[r];
  Pieces pieces = incoming(r);
  if (pieces.empty()) return false;
  msghdr message = pieces.message();
  const ssize_t got = ::recvmsg(peer.socket.get(), &message, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) lost(r);
  Collective& c = at(peer.in.number);
  const bool headed = peer.in.at >= sizeof c.header;
  peer.in.at += static_cast<std::size_t>(got);
  if (!headed && peer.in.at >= sizeof c.header && peer.header != c.header) misfit(r, c);
  if (peer.in.at == sizeof c.header + first_in(c, r).size + share(c, r).size) {
    peer.in = {peer.in.number + 1, 0};
    ++c.received;
    settle(c);
  }
  return true;
}

void TcpCommunicator::misfit(std::size_t r, const Collective& c) const {
  const Header& theirs = peers_[r].header;
  const auto words = [](const Header& h) {
    return comm::described(h.kind, h.count, static_cast<DType>(h.type));
  };
  throw Error(ErrorKind::io, "rank " + std::to_string(r),
              "calls " + words(theirs) + " where rank " + std::to_string(rank()) + " calls " +
                  words(c.header));
}

void TcpCommunicator::settle(Collective& c) const {
  c.done = c.sent == size() - 1 && c.received == size() - 1 && c.header.number < unsummed_;
}

std::size_t TcpCommunicator::received_of_first(const Cursor& in) {
  return in.at - std::min(in.at, sizeof(Header));
}

// How much of its share this rank can add up: what has come of all.
std::size_t TcpCommunicator::ready_to_sum(const Collective& c, std::size_t share_size) const {
  std::size_t ready = share_size;
  for (std::size_t r = 0; r < peers_.size(); ++r) {
    const Cursor& in = peers_[r].in;
    if (is_own(r) || in.number > unsummed_) continue;
    ready = std::min(ready, in.number == unsummed_ ? received_of_first(in) : 0);
  }
  return ready - ready % c.element;
}

// Adds up the bytes from c.summed to `end` of this rank's share.
void TcpCommunicator::add_up(Collective& c, std::byte* own, std::size_t end) {
  while (c.summed < end) {
    const std::size_t begin = c.summed % window_;
    const std::size_t size = std::min(end - c.summed, window_ - begin);
    for (std::size_t r = 0; r < peers_.size(); ++r)
      inputs_[r] = is_own(r) ? own + c.summed : peers_[r].window.data() + begin;
    void* const sums[] = {own + c.summed};
    comm::sum_in_order(inputs_, sums, 0, static_cast<std::int64_t>(size / c.element),
                       static_cast<DType>(c.header.type));
    c.summed += size;
  }
}

bool TcpCommunicator::sum() {
  bool moved = false;
  for (; unsummed_ < next_; moved = true) {
    Collective& c = at(unsummed_);
    const Bytes own = share(c, static_cast<std::size_t>(rank()));
    const std::size_t ready = ready_to_sum(c, own.size);
    if (ready < own.size && ready - c.summed < kPiece) return moved;
    add_up(c, own.data, ready);
    if (c.summed < own.size) return true;
    ++unsummed_;
    settle(c);
  }
  return moved;
}

// Moves on what can be, without waiting; whether anything has moved.
bool TcpCommunicator::progress() {
  constexpr int kTurns = 64;  // data may come as fast as it is taken
  for (int turn = 0; turn < kTurns; ++turn) {
    bool moved = sum();
    for (std::size_t r = 0; r < peers_.size(); ++r) {
      if (is_own(r)) continue;
      moved = push(r) || moved;
      moved = pull(r) || moved;
    }
    if (!moved) return turn > 0;
  }
  return true;
}

bool TcpCommunicator::do_test(int slot) {
  watch_->check();
  progress();
  Collective& c = collectives_[static_cast<std::size_t>(slot)];
  if (c.done) c.busy = false;
  return c.done;
}

void TcpCommunicator::do_wait(int slot) {
  const RankWatch::Wait wait(*watch_);
  while (!do_test(slot)) wait_for_sockets();
}

// Until data comes or can go, or for a short time: the watch may know more.
void TcpCommunicator::wait_for_sockets() {
  constexpr int kMilliseconds = 50;
  for (std::size_t r = 0; r < peers_.size(); ++r) {
    ready_[r] = {.fd = -1, .events = 0, .revents = 0};
    if (is_own(r)) continue;
    if (!outgoing(r).empty()) ready_[r].events |= POLLOUT;
    if (!incoming(r).empty()) ready_[r].events |= POLLIN;
    if (ready_[r].events != 0) ready_[r].fd = peers_[r].socket.get();
  }
  ::poll(ready_.data(), ready_.size(), kMilliseconds);
}

// A rank whose connection closes may have left because of another, whom the watch names.
void TcpCommunicator::lost(std::size_t r) const {
  for (const auto end = std::chrono::steady_clock::now() + 2s;
       std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(10ms))
    watch_->check();
  throw Error(ErrorKind::io, "rank " + std::to_string(r), "has died: its connection is closed",
              "go on with --resume when all ranks are well");
}

}  // namespace

std::unique_ptr<Communicator> make_tcp_communicator(const MeetingPlace& place,
                                                    const WatchOptions& options) {
  if (place.size == 1) return make_single_communicator();
  return std::make_unique<TcpCommunicator>(place, meet_ranks(place, options));
}

}  // namespace kiln
