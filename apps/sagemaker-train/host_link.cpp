#include "apps/sagemaker-train/host_link.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <poll.h>
#include <sys/socket.h>
#include <thread>

#include "apps/sagemaker-train/network.h"
#include "engine/comm/sockets.h"
#include "engine/core/error.h"

namespace kiln::sagemaker {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxLine = 4096, kMaxStrangers = 256;
constexpr auto kBetweenLooks = 100ms, kBetweenTries = 500ms, kConnectTime = 2000ms,
               kFarewellTime = 5000ms;

[[noreturn]] void fail(const std::string& host, const std::string& wrong) {
  throw Error(ErrorKind::io, "host " + host, wrong);
}

std::string seconds_of(std::chrono::seconds time) { return std::to_string(time.count()) + " s"; }

// Cuts the next word off.
std::string_view next_word(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(line.size(), word.size() + 1));
  return word;
}

void wait_for_bytes(int socket, std::chrono::milliseconds time) {
  pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
  ::poll(&ready, 1, static_cast<int>(time.count()));
}

}  // namespace

LineSocket::LineSocket(UniqueFd socket) : socket_(std::move(socket)) {
  notice_a_lost_peer(socket_.get());
}

std::optional<std::string> LineSocket::next() {
  while (true) {
    if (const std::size_t end = received_.find('\n'); end != received_.npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    if (closed_) return std::nullopt;
    char bytes[1024];
    const ssize_t count = ::recv(socket_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return std::nullopt;
    if (count > 0) received_.append(bytes, static_cast<std::size_t>(count));
    closed_ = count <= 0 || received_.size() > kMaxLine;
  }
}

void LineSocket::send(const std::string& line) noexcept {
  try {
    const std::string bytes = printable(line, kMaxLine / 4 - 1) + "\n";
    const auto sent =
        ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != static_cast<ssize_t>(bytes.size())) closed_ = true;
  } catch (const std::exception&) {
    closed_ = true;  // no memory for a line
  }
}

LeaderLink::LeaderLink(std::vector<std::string> hosts, std::string token, std::uint16_t port)
    : hosts_(std::move(hosts)),
      token_(std::move(token)),
      listener_(comm::listen_at("", port, SOMAXCONN)) {
  if (!listener_.socket)
    throw Error(ErrorKind::io, "port " + std::to_string(port),
                "is taken, and the other hosts of the job come to it", "end what listens there");
  comm::set_blocking(listener_.socket.get(), false);
}

bool LeaderLink::gather(std::chrono::seconds deadline, const StopAsked& stop_asked) {
  const auto end = Clock::now() + deadline;
  while (true) {
    if (!lost_.empty()) fail(lost_, "has died before the job began: its connection is closed");
    if (stop_asked() || stop_asked_) return false;
    const std::vector<std::string> absent = missing();
    if (absent.empty()) break;
    if (Clock::now() >= end) {
      std::string names;
      for (const std::string& host : absent)
        names += (names.empty() ? "" : ", ") + host +
                 (address_of(host).empty() ? " (its name does not resolve)" : "");
      fail(names, "did not come within " + seconds_of(deadline));
    }
    look(kBetweenLooks);
  }
  // Whoever did not say who they are is no host of this job.
  listener_.socket.reset();
  std::erase_if(peers_, [](const Peer& peer) { return peer.host.empty(); });
  return true;
}

std::vector<std::string> LeaderLink::missing() const {
  std::vector<std::string> names(hosts_.begin() + 1, hosts_.end());
  std::erase_if(names, [&](const std::string& host) {
    return std::ranges::find(peers_, host, &Peer::host) != peers_.end();
  });
  return names;
}

void LeaderLink::look(std::chrono::milliseconds time) {
  const int door = has_room() ? listener_.socket.get() : -1;
  std::vector<pollfd> ready = {{.fd = door, .events = POLLIN, .revents = 0}};
  for (const Peer& peer : peers_)
    ready.push_back(
        {.fd = peer.socket.closed() ? -1 : peer.socket.get(), .events = POLLIN, .revents = 0});
  if (::poll(ready.data(), ready.size(), static_cast<int>(time.count())) <= 0) return;
  for (Peer& peer : peers_) {
    if (peer.socket.closed()) continue;
    while (const auto line = peer.socket.next()) take(peer, *line);
    if (peer.socket.closed() && lost_.empty()) lost_ = peer.host;
  }
  std::erase_if(peers_, [](const Peer& peer) { return peer.host.empty() && peer.socket.closed(); });
  if (ready[0].revents != 0) accept_all();
}

bool LeaderLink::has_room() const { return peers_.size() < hosts_.size() + kMaxStrangers; }

void LeaderLink::accept_all() {
  while (has_room()) {
    UniqueFd socket(
        ::accept4(listener_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    peers_.push_back({LineSocket(std::move(socket)), {}});
  }
}

void LeaderLink::take(Peer& peer, const std::string& line) {
  std::string_view rest = line;
  const std::string_view word = next_word(rest);
  if (peer.host.empty() && word == "hello") return welcome(peer, rest);
  if (!peer.host.empty() && word == "stop") stop_asked_ = true;
}

void LeaderLink::welcome(Peer& peer, std::string_view hello) {
  const std::string_view token = next_word(hello);
  const std::string host(hello);
  const std::vector<std::string> absent = missing();
  if (token != token_)
    peer.socket.send("refused its key is another one: all hosts need one image");
  else if (std::ranges::find(absent, host) == absent.end())
    peer.socket.send("refused " + printable(host) + " is no host that is waited for");
  else {
    peer.host = host;
    peer.socket.send("welcome");
  }
}

void LeaderLink::tell(const JobEnd& end) {
  for (Peer& peer : peers_)
    if (!peer.host.empty()) {
      peer.socket.send("end " + std::to_string(end.code) + " " + end.cause);
      ::shutdown(peer.socket.get(), SHUT_WR);
    }
  // Bytes that are here unread when a connection is closed would take the farewell with them.
  const auto until = Clock::now() + kFarewellTime;
  const auto is_open = [](const Peer& peer) { return !peer.host.empty() && !peer.socket.closed(); };
  while (std::ranges::any_of(peers_, is_open) && Clock::now() < until) look(kBetweenLooks);
}

std::optional<WorkerLink> WorkerLink::reach(const std::string& leader, const std::string& own,
                                            const std::string& token, std::chrono::seconds deadline,
                                            const StopAsked& stop_asked, std::uint16_t port) {
  const auto end = Clock::now() + deadline;
  std::string wrong = "its name does not resolve";
  while (!stop_asked()) {
    if (const std::string address = address_of(leader); !address.empty()) {
      wrong = "port " + std::to_string(port) + " of " + address + " does not answer";
      if (UniqueFd socket = comm::connect_to(address, port, kConnectTime); socket) {
        WorkerLink link(LineSocket(std::move(socket)), leader);
        link.socket_.send("hello " + token + " " + own);
        if (link.is_welcome(Clock::now() + kFarewellTime)) return link;
      }
    }
    if (Clock::now() >= end)
      fail(leader, "leads this job and did not come within " + seconds_of(deadline) + ": " + wrong);
    std::this_thread::sleep_for(kBetweenTries);
  }
  return std::nullopt;
}

bool WorkerLink::is_welcome(Clock::time_point until) {
  while (Clock::now() < until) {
    if (const auto line = socket_.next()) {
      std::string_view rest = *line;
      const std::string_view word = next_word(rest);
      if (word == "refused") fail(leader_, "refuses this host: " + std::string(rest));
      return word == "welcome";
    }
    if (socket_.closed()) return false;
    wait_for_bytes(socket_.get(), kBetweenLooks);
  }
  return false;
}

std::optional<JobEnd> WorkerLink::end(std::chrono::milliseconds time) {
  wait_for_bytes(socket_.get(), time);
  while (const auto line = socket_.next()) {
    std::string_view rest = *line;
    if (next_word(rest) != "end") continue;
    JobEnd end;
    const std::string_view code = next_word(rest);
    if (std::from_chars(code.data(), code.data() + code.size(), end.code).ec != std::errc())
      end.code = 1;
    end.cause = rest;
    return end;
  }
  if (socket_.closed()) fail(leader_, "leads this job and has died: its connection is closed");
  return std::nullopt;
}

}  // namespace kiln::sagemaker
