#include "engine/http/http_server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <span>
#include <sys/socket.h>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/http/completions.h"
#include "engine/http/connection.h"
#include "engine/http/date_cache.h"
#include "engine/http/epoll.h"
#include "engine/http/listener.h"
#include "engine/http/parser_pool.h"
#include "engine/http/turn_bytes.h"

namespace kiln::http {
namespace {

using std::chrono::milliseconds;
using Phase = Connection::Phase;
using State = HttpParser::State;

constexpr std::uint64_t kListener = 0, kCompletions = 1;  // numbers for epoll; clients' come behind
constexpr std::size_t kTurnEvents = 32;  // that a turn takes, of all that are ready
constexpr std::size_t kFewEvents = 16;   // of a turn, that nobody minds to wait for
constexpr milliseconds kPromptTime{2};
constexpr std::size_t kSpareParsers = kTurnEvents;
constexpr std::size_t kMostTurnedAway = 256;  // that are told so at once
constexpr milliseconds kHandshakeTime{100};   // for what a client has begun when the port closes

}  // namespace

class HttpServer::Loop {
 public:
  Loop(const HttpServerOptions& options, HttpHandler handler, Log& log, TurnEnd turn_end,
       RefusalHeard refusal_heard);

  std::uint16_t port() const { return port_; }
  bool run();
  void stop() {
    stop_asked_ = true;
    completions_->wake();
  }

 private:
  void watch_promptly(Connection& c, bool prompt);
  void queue(Connection& c, const HttpReply& reply, bool keep);
  void refuse(Connection& c, int status, std::string_view message);
  milliseconds tick() const;
  void on_events(std::span<const epoll_event> events);
  void on_prompt_events();
  void on_event(const epoll_event& event);
  void accept_all();
  void open(UniqueFd fd);
  void turn_away(Connection& c);
  void on_completions();
  void end_turn();
  void on_client(Connection& c, std::uint32_t events);
  void read(Connection& c);
  void linger(Connection& c);
  void advance(Connection& c, std::string_view bytes);
  bool answer(Connection& c);
  std::optional<HttpReply> handle(Connection& c);
  void flush(Connection& c);
  void watch(Connection& c);
  void tell_epoll(Connection& c);
  void set_deadline(Connection& c);
  void sweep();
  void expire(Connection& c);
  void begin_drain();
  void end_listening();
  bool is_done() const {
    return draining_ && !listener_ && (connections_.empty() || now_ >= drain_end_);
  }
  void close(Connection& c);
  Connection* find(std::uint64_t id) {
    const auto found = connections_.find(id);
    return found == connections_.end() ? nullptr : &found->second;
  }
  std::vector<std::uint64_t> ids() const;
  // In this turn, also for a client that has gone since.
  bool has_deferred() const { return gathered_ > 0 || !deferred_.empty(); }

  HttpServerOptions options_;
  HttpHandler handler_;
  TurnEnd turn_end_;
  RefusalHeard refusal_heard_;
  Log& log_;
  Epoll epoll_;   // watches everything
  Epoll prompt_;  // what must not wait for the computing of many requests
  UniqueFd listener_;
  std::uint16_t port_;  // also when the listener is closed
  std::shared_ptr<Completions> completions_ = std::make_shared<Completions>();
  std::unordered_map<std::uint64_t, Connection> connections_;
  std::size_t turned_away_ = 0;               // of them
  std::uint64_t next_id_ = kCompletions + 1;  // never used twice: a late event finds nobody
  std::vector<std::uint64_t> ready_;          // have input that the last turn left
  std::vector<Completions::Entry> taken_;     // of on_completions(), kept for its memory
  std::vector<std::uint64_t> deferred_;       // in this turn; epoll does not know it yet
  ParserPool parsers_;
  std::string spare_out_;
  TurnBytes bytes_;
  bool bytes_last_ = false;   // what is being parsed can be kept until the turn's end
  std::size_t gathered_ = 0;  // requests that the handler deferred in this turn
  Clock::time_point now_ = Clock::now();
  Clock::time_point next_sweep_ = now_;
  DateCache date_;
  Clock::time_point drain_end_, listen_end_;
  bool draining_ = false;
  bool accepting_later_ = false;  // the system gave no socket
  std::atomic<bool> stop_asked_ = false;
};

HttpServer::Loop::Loop(const HttpServerOptions& options, HttpHandler handler, Log& log,
                       TurnEnd turn_end, RefusalHeard refusal_heard)
    : options_(options),
      handler_(std::move(handler)),
      turn_end_(std::move(turn_end)),
      refusal_heard_(std::move(refusal_heard)),
      log_(log),
      listener_(listen_on(options.address, options.port)),
      port_(port_of(listener_)),
      parsers_(options.limits, kSpareParsers) {
  for (const Epoll* epoll : {&epoll_, &prompt_})
    if (epoll->control(EPOLL_CTL_ADD, listener_.get(), kListener, EPOLLIN) != 0 ||
        epoll->control(EPOLL_CTL_ADD, completions_->fd(), kCompletions, EPOLLIN) != 0)
      throw Error(ErrorKind::io, "epoll_ctl", errno_text(errno));
}

// Deadlines are looked at this often: a quarter of the shortest one.
milliseconds HttpServer::Loop::tick() const {
  if (draining_ && listener_) return kHandshakeTime / 4;
  const milliseconds shortest =
      std::min({options_.header_time, options_.body_time, options_.idle_time, options_.linger_time,
                options_.drain_time, options_.drain_idle_time});
  return std::clamp(shortest / 4, milliseconds(5), milliseconds(250));
}

bool HttpServer::Loop::run() {
  std::array<epoll_event, kTurnEvents> events;
  while (!is_done()) {
    const bool timed = !connections_.empty() || draining_ || accepting_later_;
    const auto wait = !ready_.empty() || has_deferred() ? 0
                      : timed                           ? static_cast<int>(tick().count())
                                                        : -1;
    const std::span<const epoll_event> ready = epoll_.wait(events, wait);
    now_ = Clock::now();
    on_events(ready);
    for (const std::uint64_t id : std::exchange(ready_, {}))
      if (Connection* c = find(id); c && c->phase == Phase::reading)
        advance(*c, std::exchange(c->input, {}));
    if (has_deferred()) end_turn();
    if (now_ >= next_sweep_) sweep();
    if (stop_asked_ && !draining_) begin_drain();
    if (draining_ && listener_ && now_ >= listen_end_) end_listening();
  }
  const bool finished = connections_.empty();
  for (const std::uint64_t id : ids()) close(*find(id));
  return finished;
}

// Requests come in the order in which their sockets became ready: the kernel puts at the end of its
// list what was given out. It looks at every socket that it gives out, so a turn takes only as many
// as it answers. Where there are many, replies, new clients and those whose last request was no
// POST do not wait for the computing of all others: they are looked for first and every
// kPromptTime.
void HttpServer::Loop::on_events(std::span<const epoll_event> events) {
  const bool many = events.size() > kFewEvents;
  Clock::time_point prompt_again = now_;
  for (const epoll_event& event : events) {
    if (many && Clock::now() >= prompt_again) {
      on_prompt_events();
      prompt_again = Clock::now() + kPromptTime;
    }
    on_event(event);
  }
}

// They stand in the list of epoll_ too, and are found without bytes when their turn comes there.
void HttpServer::Loop::on_prompt_events() {
  std::array<epoll_event, kTurnEvents> events;
  for (const epoll_event& event : prompt_.wait(events, 0)) on_event(event);
}

void HttpServer::Loop::on_event(const epoll_event& event) {
  if (event.data.u64 == kListener) return accept_all();
  if (event.data.u64 == kCompletions) {
    completions_->clear();
    return on_completions();
  }
  if (Connection* c = find(event.data.u64)) on_client(*c, event.events);
}

void HttpServer::Loop::accept_all() {
  while (listener_) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      open(std::move(fd));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      log_.once("the system gives no more sockets: " + errno_text(errno));
      epoll_.control(EPOLL_CTL_MOD, listener_.get(), kListener, 0);  // until the next sweep
      accepting_later_ = true;
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void HttpServer::Loop::open(UniqueFd fd) {
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const std::uint64_t id = next_id_++;
  const bool full = connections_.size() - turned_away_ >= options_.connection_count;
  if (full && turned_away_ >= kMostTurnedAway) return;
  if (epoll_.control(EPOLL_CTL_ADD, fd.get(), id, EPOLLIN) != 0) return;
  Connection& c = connections_.try_emplace(id, id, std::move(fd)).first->second;
  c.deadline = now_ + (draining_ ? options_.drain_idle_time : options_.header_time);
  c.interest = EPOLLIN;
  if (full)
    turn_away(c);
  else
    watch_promptly(c, true);
}

// What it sends is read before the connection is closed: otherwise a reset would fail its next
// send, and many clients then read no reply.
void HttpServer::Loop::turn_away(Connection& c) {
  log_.once("connections are refused: " + std::to_string(options_.connection_count) + " are open");
  c.turned_away = true;
  ++turned_away_;
  refuse(c, 503, "the server has too many connections");
  flush(c);
}

// Where the system has no memory for it, the connection has to wait its turn.
void HttpServer::Loop::watch_promptly(Connection& c, bool prompt) {
  if (c.prompt == prompt) return;
  const int operation = prompt ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
  if (prompt_.control(operation, c.fd.get(), c.id, EPOLLIN) == 0) c.prompt = prompt;
}

void HttpServer::Loop::queue(Connection& c, const HttpReply& reply, bool keep) {
  if (c.out.empty()) c.out.swap(spare_out_);
  c.queue(reply, keep, date_.at(now_));
}

// The last reply of a connection.
void HttpServer::Loop::refuse(Connection& c, int status, std::string_view message) {
  queue(c, error_reply(status, message), false);
  if (refusal_heard_) refusal_heard_(status);
}

void HttpServer::Loop::on_completions() {
  completions_->take(taken_);
  for (auto& [id, reply] : taken_) {
    Connection* c = find(id);
    if (!c || c->phase != Phase::deferred) continue;
    queue(*c, reply, c->parser->header().keep_alive && !draining_ && !c->input_ended);
    c->parser->next();
    c->continued = false;
    advance(*c, std::exchange(c->input, {}));
  }
  taken_.clear();
}

// Most replies that were deferred in this turn are there before epoll is told of them. What the
// replies let begin, pipelined requests, belongs to the next turn.
void HttpServer::Loop::end_turn() {
  const std::vector<std::uint64_t> deferred = std::exchange(deferred_, {});
  gathered_ = 0;
  completions_->hold();
  turn_end_();
  bytes_.next_turn();
  on_completions();
  for (const std::uint64_t id : deferred)
    if (Connection* c = find(id); c && c->phase == Phase::deferred) tell_epoll(*c);
}

void HttpServer::Loop::on_client(Connection& c, std::uint32_t events) {
  // While a reply is deferred, the end of the client's bytes counts as its going, as with nginx.
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 ||
      (c.phase == Phase::deferred && (events & EPOLLRDHUP) != 0))
    return close(c);
  if (c.phase == Phase::lingering) return linger(c);
  if ((events & EPOLLOUT) != 0) return advance(c, std::exchange(c.input, {}));
  // An event may be older than the interest, or of the epoll that does not know it.
  const bool welcome = c.phase == Phase::reading && (c.interest & EPOLLIN) != 0;
  if ((events & EPOLLIN) != 0 && welcome) read(c);
}

void HttpServer::Loop::read(Connection& c) {
  const ssize_t count = bytes_.receive(c.fd.get());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    if (count < 0 || c.out.empty()) return close(c);
    c.input_ended = true;  // the replies that are still going out may be read
    c.phase = Phase::closing;
    return flush(c);
  }
  const auto read = static_cast<std::size_t>(count);
  const std::size_t gathered = gathered_;
  bytes_last_ = turn_end_ && bytes_.can_keep(read);
  advance(c, bytes_.first(read));
  if (std::exchange(bytes_last_, false) && gathered_ > gathered) bytes_.keep(read);
}

void HttpServer::Loop::linger(Connection& c) {
  const ssize_t count = bytes_.receive(c.fd.get());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  c.lingered_bytes += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  if (count <= 0 || c.lingered_bytes > options_.linger_bytes) close(c);
}

// Parses, answers and writes. At most `pipelined_count` requests: then the others have their turn,
// and what is left of the bytes waits in `input`. Nothing is parsed while a reply is stuck.
void HttpServer::Loop::advance(Connection& c, std::string_view bytes) {
  int answered = 0;
  parsers_.lend(c.parser);
  while (!bytes.empty() && c.phase == Phase::reading && c.out.size() < TurnBytes::kReadBytes &&
         answered < options_.pipelined_count) {
    bytes.remove_prefix(c.parser->feed(bytes));
    if (c.state() == State::complete) ++answered;
    if (!answer(c)) break;
  }
  if (c.phase == Phase::reading || c.phase == Phase::deferred) c.input = bytes;
  parsers_.take_back(c.parser);
  set_deadline(c);
  flush(c);
}

// False where no more is to be parsed now.
bool HttpServer::Loop::answer(Connection& c) {
  HttpParser& parser = *c.parser;
  switch (parser.state()) {
    case State::refused:
      refuse(c, parser.refusal().status, parser.refusal().reason);
      return false;
    case State::complete:
      break;
    case State::body:
      if (parser.header().expects_continue && !c.continued && parser.body().view().empty())
        c.out += "HTTP/1.1 100 Continue\r\n\r\n";
      c.continued = true;
      return true;
    default:
      return true;
  }
  const std::optional<HttpReply> reply = handle(c);
  if (!reply) {
    c.phase = Phase::deferred;
    if (turn_end_) ++gathered_;
    return false;
  }
  queue(c, *reply, parser.header().keep_alive && !draining_);
  parser.next();
  c.continued = false;
  c.timed = State::empty;
  return true;
}

std::optional<HttpReply> HttpServer::Loop::handle(Connection& c) {
  const HttpRequest::Defer defer = [&] {
    auto deferred = std::make_shared<DeferredReply>(completions_, c.id);
    c.deferred = deferred;
    return deferred;
  };
  HttpRequest request(c.parser->header(), c.parser->body(), now_, defer,
                      bytes_last_ && c.parser->body().borrowed());
  watch_promptly(c, request.header.method != "POST");
  try {
    return handler_(request);
  } catch (const std::exception& error) {
    log_.warning(std::string("a request failed: ") + error.what());
    if (refusal_heard_) refusal_heard_(500);
    return error_reply(500, "internal error");
  }
}

void HttpServer::Loop::flush(Connection& c) {
  const std::size_t before = c.out_start;
  const Connection::Sent sent = c.send();
  if (sent == Connection::Sent::failed) return close(c);
  if (c.out.empty() && c.out.capacity() > spare_out_.capacity()) c.out.swap(spare_out_);
  if (sent == Connection::Sent::blocked) {
    if (c.out_start != before || (c.interest & EPOLLOUT) == 0)
      c.deadline = now_ + options_.body_time;
    return watch(c);
  }
  if (c.phase == Phase::closing) {
    ::shutdown(c.fd.get(), SHUT_WR);
    if (c.input_ended) return close(c);
    c.phase = Phase::lingering;
    c.deadline = now_ + options_.linger_time;
  } else if (c.phase == Phase::reading) {
    if ((c.interest & EPOLLOUT) != 0) set_deadline(c);
    if (!c.input.empty()) ready_.push_back(c.id);
  }
  watch(c);
}

void HttpServer::Loop::watch(Connection& c) {
  if (turn_end_ && c.phase == Phase::deferred)
    deferred_.push_back(c.id);
  else
    tell_epoll(c);
}

void HttpServer::Loop::tell_epoll(Connection& c) {
  std::uint32_t interest = 0;
  if (c.phase == Phase::deferred) interest |= EPOLLRDHUP;
  if (!c.out.empty())
    interest |= EPOLLOUT;
  else if (c.phase != Phase::deferred && c.input.empty())
    interest |= EPOLLIN;
  if (interest != c.interest && epoll_.control(EPOLL_CTL_MOD, c.fd.get(), c.id, interest) != 0)
    return close(c);
  c.interest = interest;
}

// A request's times run from its first byte, not from its last one: a client that sends a byte a
// second gains nothing by it.
void HttpServer::Loop::set_deadline(Connection& c) {
  const State state = c.state();
  if (state == State::empty)
    c.deadline = now_ + (draining_ ? options_.drain_idle_time : options_.idle_time);
  else if (state != c.timed)
    c.deadline = now_ + (state == State::body ? options_.body_time : options_.header_time);
  c.timed = state;
}

void HttpServer::Loop::sweep() {
  next_sweep_ = now_ + tick();
  accepting_later_ = false;
  if (listener_) epoll_.control(EPOLL_CTL_MOD, listener_.get(), kListener, EPOLLIN);
  for (const std::uint64_t id : ids())
    if (Connection* c = find(id); c && now_ >= c->deadline) expire(*c);
}

void HttpServer::Loop::expire(Connection& c) {
  // How long a deferred reply may take is for the one who owes it.
  if (c.phase == Phase::deferred && c.out.empty()) return;
  const State state = c.state();
  if (c.phase != Phase::reading || !c.out.empty() || state == State::empty) return close(c);
  refuse(c, 408, state == State::body ? "the body came too slowly" : "the header came too slowly");
  flush(c);
}

// Who has connected already is served, and so is who is about to: the kernel completes handshakes
// by itself, and a connection that it completed is reset with the port, together with the request
// that the client has sent by then. So nobody new may begin, for a while the last ones arrive, then
// the port is closed. An idle client may be sending its next request at this very moment, so it
// gets a little time and, where it asks, a reply that tells it to close.
void HttpServer::Loop::begin_drain() {
  draining_ = true;
  drain_end_ = now_ + options_.drain_time;
  listen_end_ = std::min(now_ + kHandshakeTime, drain_end_);
  if (!drop_new_connections(listener_)) {
    log_.info("no socket filter (" + errno_text(errno) +
              "): who connects while the port is closed may be reset");
    end_listening();
  }
  for (auto& [id, c] : connections_)
    if (c.idle()) c.deadline = std::min(c.deadline, now_ + options_.drain_idle_time);
}

void HttpServer::Loop::end_listening() {
  accept_all();
  listener_.reset();
}

void HttpServer::Loop::close(Connection& c) {
  if (const auto deferred = c.deferred.lock()) deferred->cancel();
  if (c.turned_away) --turned_away_;
  connections_.erase(c.id);
}

std::vector<std::uint64_t> HttpServer::Loop::ids() const {
  std::vector<std::uint64_t> all;
  all.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) all.push_back(id);
  return all;
}

HttpServer::HttpServer(const HttpServerOptions& options, HttpHandler handler, Log& log,
                       TurnEnd turn_end, RefusalHeard refusal_heard)
    : loop_(std::make_unique<Loop>(options, std::move(handler), log, std::move(turn_end),
                                   std::move(refusal_heard))) {}
HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const { return loop_->port(); }
bool HttpServer::run() { return loop_->run(); }
void HttpServer::stop() { loop_->stop(); }

}  // namespace kiln::http
