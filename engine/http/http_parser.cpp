#include "engine/http/http_parser.h"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>

#include "engine/http/http_gate.h"

namespace kiln::http {
namespace {

namespace http = boost::beast::http;

// Bytes of a chunk's extensions, which nobody uses.
constexpr std::size_t kExtensionLimit = 256;

HttpRefusal refusal_of(const boost::beast::error_code& error) {
  if (error == http::error::body_limit) return {413, "the body is larger than the limit"};
  if (error == http::error::header_limit) return {431, "the header is larger than the limit"};
  if (error == http::error::bad_version) return {505, "only HTTP/1.0 and HTTP/1.1 are spoken"};
  if (error == http::error::bad_chunk || error == http::error::bad_chunk_extension)
    return {400, "a chunk of the body is malformed"};
  return {400, "the request is malformed"};
}

std::string to_std(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

class HttpParser::Impl {
 public:
  explicit Impl(const HttpLimits& limits) : limits_(limits) { next(); }

  void next();
  std::size_t feed(std::string_view bytes);

  const HttpHeader& header() const { return header_; }
  std::string& body() { return beast_->get().body(); }
  State state() const { return state_; }
  const HttpRefusal& refusal() const { return refusal_; }

 private:
  using Beast = http::request_parser<http::string_body>;

  std::size_t feed_header(std::string_view bytes);
  std::size_t feed_body(std::string_view bytes);
  void finish_header();
  void finish_body();
  void check_pending(std::size_t from);
  void read_header();
  std::size_t put(std::string_view bytes);
  void refuse(const HttpRefusal& refusal) {
    refusal_ = refusal;
    state_ = State::refused;
  }

  HttpLimits limits_;
  State state_ = State::empty;
  HttpRefusal refusal_;
  HttpHeader header_;
  HeaderScan scan_;
  // The header up to its end; then what Beast could not use yet: an unfinished chunk line or
  // trailer. At most limits_.header_bytes.
  std::string pending_;
  std::size_t chunk_count_ = 0;
  std::size_t chunk_left_ = 0;  // bytes of the current chunk that are still to come
  // Called by Beast for each chunk; a member because Beast keeps a reference.
  std::function<void(std::uint64_t, boost::beast::string_view, boost::beast::error_code&)>
      on_chunk_ = [this](std::uint64_t size, boost::beast::string_view extension,
                         boost::beast::error_code& error) {
        if (++chunk_count_ > limits_.chunk_count || extension.size() > kExtensionLimit ||
            extension.find('"') != extension.npos)
          error = http::error::bad_chunk;
        chunk_left_ = size;
      };
  std::optional<Beast> beast_;
};

void HttpParser::Impl::next() {
  state_ = State::empty;
  header_ = {};
  scan_ = {};
  pending_.clear();
  chunk_count_ = 0;
  chunk_left_ = 0;
  beast_.emplace();
  beast_->eager(true);
  beast_->body_limit(limits_.body_bytes);
  beast_->header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
  beast_->on_chunk_header(on_chunk_);
}

std::size_t HttpParser::Impl::feed(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && state_ != State::complete && state_ != State::refused) {
    const std::string_view rest = bytes.substr(taken);
    taken += state_ == State::body ? feed_body(rest) : feed_header(rest);
  }
  return taken;
}

// The header is collected whole before Beast sees it, so that no cut of the bytes changes a result;
// what is wrong with a line is told at the line's end, without waiting for the rest.
std::size_t HttpParser::Impl::feed_header(std::string_view bytes) {
  state_ = State::header;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (pending_.size() == limits_.header_bytes) {
      refuse({431, "the header is larger than the limit"});
      return i;
    }
    pending_.push_back(bytes[i]);
    if (const auto refusal = scan_.add(pending_, limits_.field_count)) {
      refuse(*refusal);
      return i + 1;
    }
    if (scan_.at_end()) {
      finish_header();
      return i + 1;
    }
  }
  return bytes.size();
}

void HttpParser::Impl::finish_header() {
  put(pending_);
  pending_.clear();
  if (state_ == State::refused) return;
  read_header();
  if (const auto refusal = gate(header_, beast_->get().version() == 11, limits_)) {
    refuse(*refusal);
    return;
  }
  header_.expects_continue =
      beast_->get().version() == 11 && !beast_->is_done() && !header_.field("Expect").empty();
  state_ = beast_->is_done() ? State::complete : State::body;
}

void HttpParser::Impl::read_header() {
  const auto& message = beast_->get();
  header_.method = to_std(message.method_string());
  header_.target = to_std(message.target());
  header_.keep_alive = message.keep_alive();
  for (const auto& field : message)
    header_.fields.push_back({to_std(field.name_string()), to_std(field.value())});
}

// Hands bytes to Beast; returns how many it used.
std::size_t HttpParser::Impl::put(std::string_view bytes) {
  boost::beast::error_code error;
  const std::size_t used = beast_->put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error && error != http::error::need_more) refuse(refusal_of(error));
  return used;
}

// The bytes of a body go to Beast as they come. Chunk lines and the trailer are collected and go
// there when a line has ended, so that here too no cut of the bytes changes a result.
std::size_t HttpParser::Impl::feed_body(std::string_view bytes) {
  const bool chunked = beast_->chunked();
  if (!chunked || chunk_left_ > 0) {
    const std::size_t used = put(chunked ? bytes.substr(0, chunk_left_) : bytes);
    if (chunked) chunk_left_ -= used;
    if (state_ == State::refused) return used;
    if (beast_->is_done())
      finish_body();
    else if (used == 0)
      refuse({400, "the request is malformed"});
    return used;
  }
  const std::size_t before = pending_.size();
  const std::size_t line_end = bytes.find('\n');
  const std::size_t taken =
      std::min(line_end == bytes.npos ? bytes.size() : line_end + 1, limits_.header_bytes - before);
  pending_.append(bytes.substr(0, taken));
  check_pending(before);
  if (state_ == State::refused || pending_.back() != '\n') return taken;
  pending_.erase(0, put(pending_));
  if (state_ != State::refused && beast_->is_done()) finish_body();
  return taken;
}

// Tells at once what Beast would tell at the line's end.
void HttpParser::Impl::check_pending(std::size_t from) {
  if (chunk_count_ > 0 && !pending_.empty() && pending_[0] != '\r')
    return refuse({400, "a chunk is longer than it said"});
  for (std::size_t i = from; i < pending_.size(); ++i) {
    // Beast 1.81 looks for the closing quote beyond the line.
    if (pending_[i] == '"') return refuse({400, "a chunk's extension is quoted"});
    if ((pending_[i] == '\n') != (i > 0 && pending_[i - 1] == '\r'))
      return refuse({400, "a line does not end with CR LF"});
  }
  if (pending_.size() >= limits_.header_bytes)
    refuse({400, "a line of a chunk or the trailer is larger than the limit"});
}

// Fields behind a chunked body could say again what the gate has judged; Beast files them with the
// others.
void HttpParser::Impl::finish_body() {
  const auto& fields = beast_->get();
  if (static_cast<std::size_t>(std::distance(fields.begin(), fields.end())) > header_.fields.size())
    refuse({400, "trailer fields are not taken"});
  else
    state_ = State::complete;
}

HttpParser::HttpParser(const HttpLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
HttpParser::HttpParser(HttpParser&&) noexcept = default;
HttpParser& HttpParser::operator=(HttpParser&&) noexcept = default;
HttpParser::~HttpParser() = default;

std::size_t HttpParser::feed(std::string_view bytes) { return impl_->feed(bytes); }
const HttpHeader& HttpParser::header() const { return impl_->header(); }
std::string& HttpParser::body() { return impl_->body(); }
HttpParser::State HttpParser::state() const { return impl_->state(); }
const HttpRefusal& HttpParser::refusal() const { return impl_->refusal(); }
void HttpParser::next() { impl_->next(); }

}  // namespace kiln::http
