#include "engine/comm/doorman.h"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace kiln::comm {

Doorman::Doorman(UniqueFd listener, const HelloRules& rules)
    : listener_(std::move(listener)), rules_(rules) {
  set_blocking(listener_.get(), false);
}

void Doorman::take_connections() {
  for (;;) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    if (callers_.size() == kMostWaiting) callers_.erase(callers_.begin());
    callers_.push_back(
        {.socket = std::move(socket), .end = SocketClock::now() + kHelloTime, .bytes = {}});
  }
}

bool Doorman::hear(Caller& caller, std::optional<Guest>& guest) {
  std::byte bytes[kHelloBytes];
  const ssize_t got =
      ::recv(caller.socket.get(), bytes, kHelloBytes - caller.bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return SocketClock::now() >= caller.end;
  if (got <= 0) return true;
  caller.bytes.insert(caller.bytes.end(), bytes, bytes + got);
  Hello hello;
  const Reading reading = read_hello(caller.bytes, hello);
  if (reading == Reading::incomplete) return SocketClock::now() >= caller.end;
  if (reading == Reading::stranger) return true;
  Answer answer;
  const Judgement judgement = judge(hello, rules_, answer);
  if (judgement == Judgement::welcome) {
    guest = Guest{hello, std::move(caller.socket)};
  } else if (judgement == Judgement::refused) {
    const auto words = encode(answer);
    send_whole(caller.socket.get(), words.data(), words.size());
    last_refusal_ = reason_of(answer, hello);
  }
  return true;
}

std::optional<Guest> Doorman::next(int timeout_ms, std::vector<pollfd>& others) {
  std::vector<pollfd> ready = {{.fd = listener_.get(), .events = POLLIN, .revents = 0}};
  for (const Caller& caller : callers_)
    ready.push_back({.fd = caller.socket.get(), .events = POLLIN, .revents = 0});
  ready.insert(ready.end(), others.begin(), others.end());
  // Silent callers are looked after now and then.
  constexpr int kTurn = 200;
  ::poll(ready.data(), ready.size(), std::min(timeout_ms, kTurn));
  std::copy(ready.end() - static_cast<std::ptrdiff_t>(others.size()), ready.end(), others.begin());
  take_connections();
  std::optional<Guest> guest;
  for (std::size_t i = 0; i < callers_.size() && !guest;) {
    if (hear(callers_[i], guest))
      callers_.erase(callers_.begin() + static_cast<std::ptrdiff_t>(i));
    else
      ++i;
  }
  return guest;
}

std::string reason_of(const Answer& answer, const Hello& hello) {
  const std::string detail = std::to_string(answer.detail);
  switch (answer.verdict) {
    case Verdict::welcome:
      break;
    case Verdict::other_version:
      return "it is of another build of kiln";
    case Verdict::other_run:
      return "it belongs to another run";
    case Verdict::other_size:
      return "it was started as one of " + std::to_string(hello.size) + " ranks, not of " + detail;
    case Verdict::taken:
      return "there is a rank " + std::to_string(hello.rank) + " already";
    case Verdict::missing:
      return "rank " + detail + " has not come in time";
  }
  return {};
}

}  // namespace kiln::comm
