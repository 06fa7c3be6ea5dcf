#include "engine/http/http_parser.h"

#include <algorithm>

#include "engine/http/chunk_reader.h"
#include "engine/http/header_reader.h"
#include "engine/http/http_gate.h"

namespace kiln::http {
namespace {

// What is kept for the next request's body.
constexpr std::size_t kKeptBytes = 1 << 14;

}  // namespace

class HttpParser::Impl {
 public:
  explicit Impl(const HttpLimits& limits)
      : limits_(limits), reader_(limits.field_count), chunks_(limits) {}

  void next();
  std::size_t feed(std::string_view bytes);

  const HttpHeader& header() const { return reader_.header(); }
  HttpBody& body() { return body_; }
  State state() const { return state_; }
  const HttpRefusal& refusal() const { return refusal_; }

 private:
  std::size_t feed_header(std::string_view bytes);
  std::size_t feed_body(std::string_view bytes);
  void finish_header();
  void refuse(const HttpRefusal& refusal) {
    refusal_ = refusal;
    state_ = State::refused;
  }

  HttpLimits limits_;
  State state_ = State::empty;
  HttpRefusal refusal_;
  HeaderReader reader_;
  std::string pending_;  // a header that did not come in one piece
  BodyFraming framing_;
  ChunkReader chunks_;
  HttpBody body_;
};

void HttpBody::clear(std::size_t kept_bytes) {
  borrowed_ = {};
  own_.clear();
  // Assigning an empty string would keep the memory.
  if (own_.capacity() > kept_bytes) std::string().swap(own_);
}

void HttpParser::Impl::next() {
  state_ = State::empty;
  reader_.next();
  if (framing_.chunked) chunks_ = ChunkReader(limits_);
  framing_ = {};
  body_.clear(kKeptBytes);
}

std::size_t HttpParser::Impl::feed(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && state_ != State::complete && state_ != State::refused) {
    const std::string_view rest = bytes.substr(taken);
    taken += state_ == State::body ? feed_body(rest) : feed_header(rest);
  }
  return taken;
}

// A header that comes in one piece, as most do, is read where it lies.
std::size_t HttpParser::Impl::feed_header(std::string_view bytes) {
  state_ = State::header;
  const std::size_t seen = pending_.size();
  const std::string_view piece = bytes.substr(0, limits_.header_bytes - seen);
  if (seen > 0) pending_.append(piece);
  const std::string_view all = seen > 0 ? std::string_view(pending_) : piece;
  if (const auto refusal = reader_.read(all, seen)) {
    refuse(*refusal);
    return piece.size();
  }
  if (const std::size_t end = reader_.end(); end > 0) {
    std::string().swap(pending_);
    finish_header();
    return end - seen;
  }
  if (piece.size() < bytes.size()) {
    refuse({431, "the header is larger than the limit"});
    return piece.size();
  }
  if (seen == 0) pending_.assign(piece);
  return piece.size();
}

void HttpParser::Impl::finish_header() {
  if (const auto refusal = gate(reader_.header(), reader_.version_11(), limits_, framing_))
    return refuse(*refusal);
  state_ = framing_.chunked || framing_.length > 0 ? State::body : State::complete;
}

std::size_t HttpParser::Impl::feed_body(std::string_view bytes) {
  if (framing_.chunked) {
    const std::size_t taken = chunks_.feed(bytes, body_.own());
    if (chunks_.refusal())
      refuse(*chunks_.refusal());
    else if (chunks_.complete())
      state_ = State::complete;
    return taken;
  }
  std::string& own = body_.own();
  if (own.empty() && bytes.size() >= framing_.length) {
    body_.borrow(bytes.substr(0, framing_.length));
    state_ = State::complete;
    return framing_.length;
  }
  // The length is within the limit, and memory that is never written costs nothing.
  if (own.empty()) own.reserve(framing_.length);
  const std::size_t taken = std::min<std::size_t>(bytes.size(), framing_.length - own.size());
  own.append(bytes.substr(0, taken));
  if (own.size() == framing_.length) state_ = State::complete;
  return taken;
}

HttpParser::HttpParser(const HttpLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
HttpParser::HttpParser(HttpParser&&) noexcept = default;
HttpParser& HttpParser::operator=(HttpParser&&) noexcept = default;
HttpParser::~HttpParser() = default;

std::size_t HttpParser::feed(std::string_view bytes) { return impl_->feed(bytes); }
const HttpHeader& HttpParser::header() const { return impl_->header(); }
HttpBody& HttpParser::body() { return impl_->body(); }
HttpParser::State HttpParser::state() const { return impl_->state(); }
const HttpRefusal& HttpParser::refusal() const { return impl_->refusal(); }
void HttpParser::next() { impl_->next(); }

}  // namespace kiln::http
