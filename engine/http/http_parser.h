// Requests of HTTP/1.1 out of bytes, without any input or output of its own.
//
//   HttpParser parser(limits);
//   parser.feed(bytes) -> how many were taken; parser.state() says what came of them
//   parser.header()    -> method, target, fields
//   parser.body()      -> the whole body, read where it lies if it came in one piece
//
// The result never depends on how the bytes were cut into pieces. What two servers could read in
// two ways is refused: RFC 9112 leaves such cases to the reader, and request smuggling lives there.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln::http {

struct HttpLimits {
  std::size_t header_bytes = 8192;    // request line and fields; also a chunk's line, the trailer
  std::size_t field_count = 100;      // fields of a request
  std::size_t body_bytes = 6 << 20;   // of the body, decoded; the largest that SageMaker sends
  std::size_t chunk_count = 1 << 16;  // chunks of a body
};

struct HttpField {
  std::string name, value;
};

struct HttpHeader {
  std::string method, target;  // the target as it came: its query and %XX are the caller's to read
  std::vector<HttpField> fields;
  bool keep_alive = true;
  bool expects_continue = false;  // the client waits for "100 Continue" before it sends the body

  // The value of the first field of this name, in any case of letters; empty where there is none.
  std::string_view field(std::string_view name) const;
};

// Why a request is not taken: a status, and words that name no path and repeat no byte of it.
struct HttpRefusal {
  int status = 0;
  std::string_view reason;
};

// The bytes of a body: its own, or where others keep them.
class HttpBody {
 public:
  HttpBody() = default;
  explicit HttpBody(std::string bytes) : own_(std::move(bytes)) {}

  std::string_view view() const { return borrowed_.empty() ? own_ : borrowed_; }
  // To be kept; view() is empty then.
  std::string take() {
    if (borrowed_.empty()) return std::exchange(own_, {});
    return std::string(std::exchange(borrowed_, {}));
  }
  void borrow(std::string_view bytes) { borrowed_ = bytes; }
  bool borrowed() const { return !borrowed_.empty(); }
  std::string& own() { return own_; }
  // Keeps memory of at most `kept_bytes`.
  void clear(std::size_t kept_bytes);

 private:
  std::string own_;
  std::string_view borrowed_;
};

class HttpParser {
 public:
  enum class State {
    empty,     // no byte of a request yet
    header,    // within the header
    body,      // header() holds; within the body
    complete,  // header() and body() hold; feed() takes nothing until next()
    refused,   // refusal() holds; feed() takes nothing: the connection has lost its framing
  };

  explicit HttpParser(const HttpLimits& limits);
  HttpParser(HttpParser&&) noexcept;
  HttpParser& operator=(HttpParser&&) noexcept;
  ~HttpParser();

  // Takes bytes up to the end of the request; returns their count.
  std::size_t feed(std::string_view bytes);
  const HttpHeader& header() const;
  // Of a complete request: valid until next(), and as long as the bytes that feed() got.
  HttpBody& body();

  State state() const;
  const HttpRefusal& refusal() const;
  // Ready for the next request of the connection.
  void next();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The words of a status line: "Not Found" for 404.
std::string_view http_reason(int status);
// "Sun, 06 Nov 1994 08:49:37 GMT", as the field Date takes it.
std::string http_date(std::chrono::system_clock::time_point time);
// {"error": "..."} and a newline; what JSON does not allow in a string is escaped.
std::string http_error_body(std::string_view message);

}  // namespace kiln::http
