#include "bench/serve/load.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <utility>

#include "engine/core/error.h"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace kiln::bench {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;

constexpr auto kGrace = std::chrono::seconds(2);
const std::string kPing = "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n";

double microseconds(Clock::duration time) { return duration<double, std::micro>(time).count(); }

// What is known of a reply whose bytes come in pieces.
struct Reply {
  std::string head;       // until the header is whole
  std::size_t size = 0;   // header and body; 0 while unknown
  std::size_t taken = 0;  // bytes so far
  int status = 0;
  bool closes = false;

  bool whole() const { return size != 0 && taken >= size; }
};

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

void read_header(Reply& reply, std::size_t end) {
  const std::string header = lower(reply.head.substr(0, end + 2));
  const std::size_t length = header.find("\r\ncontent-length:");
  if (!header.starts_with("http/1.1 ") || length == header.npos)
    throw Error(ErrorKind::io, "the server", "sent a reply without a status or a length");
  reply.status = std::atoi(header.c_str() + 9);
  reply.size = end + 4 + std::strtoul(header.c_str() + length + 17, nullptr, 10);
  reply.closes = header.find("\r\nconnection: close\r\n") != header.npos;
}

void take(Reply& reply, std::string_view piece) {
  reply.taken += piece.size();
  if (reply.size != 0) return;
  reply.head.append(piece);
  const std::size_t end = reply.head.find("\r\n\r\n");
  if (end != reply.head.npos) read_header(reply, end);
}

struct Client {
  UniqueFd fd;
  const std::string* request = nullptr;
  bool asked = false, gone = false, waits_to_write = false;
  std::size_t sent = 0;
  Clock::time_point intended, sent_at;
  Reply reply;
};

class Load {
 public:
  explicit Load(const LoadOptions& options)
      : options_(options),
        epoll_(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        clients_(options.connections),
        buffer_(1 << 18, '\0') {}

  LoadReport run();

 private:
  bool open_loop() const { return options_.rate > 0; }
  bool is_ping(const Client& client) const { return client.request == &kPing; }
  bool over() const;
  void connect(Client& client);
  void ask(Client& client, Clock::time_point intended);
  void write(Client& client);
  void next(Client& client);
  void arrive();
  void arrive_ping();
  void turn(int wait_ms);
  void receive(Client& client);
  void ended(Client& client);
  void answered(Client& client);
  void finish();

  const LoadOptions& options_;
  UniqueFd epoll_;
  std::vector<Client> clients_;
  Client ping_;
  std::vector<Client*> idle_;
  std::deque<Clock::time_point> waiting_;  // arrivals without a connection
  std::string buffer_;
  LoadReport report_;
  Clock::time_point begin_, end_, now_, next_ping_;
  std::uint64_t arrivals_ = 0, replies_ = 0;
  std::size_t under_way_ = 0, present_ = 0;
  bool ending_ = false;
};

bool Load::over() const {
  if (present_ == 0) return true;
  return options_.requests != 0 ? replies_ + under_way_ >= options_.requests : now_ >= end_;
}

void Load::connect(Client& client) {
  client.fd = connect_to(options_.port);
  client.waits_to_write = false;
  if (!client.fd) {
    ++report_.refused_connects;
    if (!client.gone && !is_ping(client)) --present_;
    client.gone = true;
    return;
  }
  check(::fcntl(client.fd.get(), F_SETFL, O_NONBLOCK), "fcntl");
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &client}};
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, client.fd.get(), &event), "epoll_ctl");
}

void Load::ask(Client& client, Clock::time_point intended) {
  if (!client.fd) connect(client);
  if (client.gone) return;
  client.asked = true;
  client.sent = 0;
  client.intended = intended;
  client.sent_at = Clock::now();
  client.reply = {};
  if (!is_ping(client)) ++under_way_;
  write(client);
}

// The rest of a request, as far as the socket takes it. A connection that is gone shows in receive.
void Load::write(Client& client) {
  const std::string& request = *client.request;
  while (client.sent < request.size()) {
    const ssize_t done = ::send(client.fd.get(), request.data() + client.sent,
                                request.size() - client.sent, MSG_NOSIGNAL);
    if (done <= 0) break;
    client.sent += static_cast<std::size_t>(done);
  }
  const bool waits = client.sent < request.size();
  if (waits == client.waits_to_write) return;
  client.waits_to_write = waits;
  epoll_event event{.events = EPOLLIN | (waits ? EPOLLOUT : 0u), .data = {.ptr = &client}};
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, client.fd.get(), &event), "epoll_ctl");
}

// What a client does that has nothing under way.
void Load::next(Client& client) {
  if (client.gone || ending_ || is_ping(client)) return;
  if (open_loop() && !waiting_.empty()) {
    const Clock::time_point intended = waiting_.front();
    waiting_.pop_front();
    ask(client, intended);
  } else if (open_loop()) {
    idle_.push_back(&client);
  } else if (!over()) {
    ask(client, Clock::now());
  }
}

void Load::arrive() {
  const auto due = static_cast<std::uint64_t>(
      std::min(duration<double>(now_ - begin_).count(), options_.seconds) * options_.rate);
  for (; arrivals_ < due; ++arrivals_) {
    const auto intended = begin_ + duration_cast<Clock::duration>(duration<double>(
                                       static_cast<double>(arrivals_) / options_.rate));
    if (idle_.empty()) {
      waiting_.push_back(intended);
      continue;
    }
    Client& client = *idle_.back();
    idle_.pop_back();
    ask(client, intended);
  }
}

void Load::arrive_ping() {
  if (options_.ping_ms == 0 || now_ < next_ping_ || ping_.asked || ping_.gone) return;
  ask(ping_, next_ping_);
  const auto step = duration_cast<Clock::duration>(duration<double, std::milli>(options_.ping_ms));
  while (next_ping_ <= now_) next_ping_ += step;
}

void Load::turn(int wait_ms) {
  epoll_event events[64];
  const int count = ::epoll_wait(epoll_.get(), events, 64, wait_ms);
  for (int i = 0; i < count; ++i) {
    Client& client = *static_cast<Client*>(events[i].data.ptr);
    if (client.fd && (events[i].events & EPOLLOUT) != 0) write(client);
    if (client.fd && (events[i].events & ~EPOLLOUT) != 0) receive(client);
  }
  now_ = Clock::now();
}

void Load::receive(Client& client) {
  const ssize_t got = ::recv(client.fd.get(), buffer_.data(), buffer_.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return ended(client);
  if (!client.asked) throw Error(ErrorKind::io, "the server", "sent what nobody asked for");
  take(client.reply, {buffer_.data(), static_cast<std::size_t>(got)});
  if (client.reply.whole()) answered(client);
}

// The server closed the connection, or broke it.
void Load::ended(Client& client) {
  client.fd.reset();
  if (std::exchange(client.asked, false)) {
    if (is_ping(client)) {
      ++report_.pings_failed;
      return;
    }
    --under_way_;
    ++report_.failed;
    next(client);
  }
}

void Load::answered(Client& client) {
  const auto at = Clock::now();
  const bool good = client.reply.status == 200;
  client.asked = false;
  if (is_ping(client) && !good) {
    ++report_.pings_failed;
  } else {
    Latencies& into = is_ping(client) ? report_.ping : good ? report_.good : report_.refused;
    into.from_intended.push_back(microseconds(at - client.intended));
    into.from_sent.push_back(microseconds(at - client.sent_at));
  }
  if (client.reply.closes || options_.fresh) client.fd.reset();
  if (is_ping(client)) return;
  --under_way_;
  ++replies_;
  ++report_.statuses[client.reply.status];
  report_.reply_bytes = client.reply.size;
  report_.in_time += good && !ending_;
  next(client);
}

void Load::finish() {
  report_.seconds = duration<double>(now_ - begin_).count();
  ending_ = true;
  const auto limit = now_ + kGrace;
  while ((under_way_ > 0 || ping_.asked) && now_ < limit) turn(20);
  report_.unanswered = under_way_;
  report_.never_sent = waiting_.size();
}

LoadReport Load::run() {
  const double cpu = cpu_microseconds();
  ping_.request = &kPing;
  present_ = clients_.size();
  for (Client& client : clients_) {
    client.request = &options_.request;
    connect(client);
  }
  if (present_ == 0)
    throw Error(ErrorKind::io, "port " + std::to_string(options_.port), "nobody listens");
  begin_ = now_ = next_ping_ = Clock::now();
  end_ = begin_ + duration_cast<Clock::duration>(duration<double>(options_.seconds));
  for (Client& client : clients_) next(client);
  while (!over()) {
    arrive();
    arrive_ping();
    // Never asleep: an arrival would wait for a timer, and each reply would cost the server the
    // waking of its client, more than all else it does.
    turn(0);
  }
  finish();
  report_.cpu_us = cpu_microseconds() - cpu;
  return std::move(report_);
}

bool ping_is_200(std::uint16_t port) {
  const UniqueFd fd = connect_to(port);
  if (!fd || ::send(fd.get(), kPing.data(), kPing.size(), MSG_NOSIGNAL) < 0) return false;
  char buffer[16] = {};
  const ssize_t got = ::recv(fd.get(), buffer, 12, MSG_WAITALL);
  return got == 12 && std::string_view(buffer, 12) == "HTTP/1.1 200";
}

pid_t spawn(const std::vector<std::string>& command, int core) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int fd : {0, 1, 2})
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  cpu_set_t before;
  ::sched_getaffinity(0, sizeof before, &before);
  pin(core);
  pid_t child = 0;
  const int fault = ::posix_spawnp(&child, words[0], &actions, nullptr, words.data(), ::environ);
  ::sched_setaffinity(0, sizeof before, &before);
  posix_spawn_file_actions_destroy(&actions);
  if (fault != 0) throw Error(ErrorKind::io, command[0], errno_text(fault));
  return child;
}

}  // namespace

LoadReport run_load(const LoadOptions& options) { return Load(options).run(); }

double start_milliseconds(const std::vector<std::string>& command, std::uint16_t port, int core,
                          std::chrono::milliseconds limit) {
  if (ping_is_200(port))
    throw Error(ErrorKind::io, "port " + std::to_string(port), "is served already");
  const auto begin = Clock::now();
  const pid_t child = spawn(command, core);
  bool ready = false, alive = true;
  while (!ready && alive && Clock::now() < begin + limit) {
    ready = ping_is_200(port);
    alive = ::waitpid(child, nullptr, WNOHANG) == 0;
    if (!ready) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  const auto took = Clock::now() - begin;
  if (alive) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  if (!ready) throw Error(ErrorKind::io, command[0], alive ? "was not ready in time" : "ended");
  return duration<double, std::milli>(took).count();
}

}  // namespace kiln::bench
