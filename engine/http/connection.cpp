#include "engine/http/connection.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <sys/socket.h>

#include "engine/http/http_chars.h"

namespace kiln::http {
namespace {

// What is kept for the next reply.
constexpr std::size_t kKeptBytes = 1 << 14;

// Text of a handler must not end a line of the header early.
bool one_line(std::string_view text) { return std::all_of(text.begin(), text.end(), is_text); }

void append_field(std::string& out, std::string_view name, std::string_view value) {
  if (!one_line(name) || !one_line(value)) return;
  out.append(name).append(": ").append(value).append("\r\n");
}

void append_number(std::string& out, std::size_t number) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  out.append(digits, end);
}

}  // namespace

HttpReply error_reply(int status, std::string_view message) {
  return {.status = status, .body = http_error_body(message)};
}

void Connection::queue(const HttpReply& reply, bool keep, std::string_view date) {
  static const HttpHeader kNoRequest;
  const HttpHeader& request = parser ? parser->header() : kNoRequest;
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<std::size_t>(reply.status));
  out.append(" ").append(http_reason(reply.status)).append("\r\nDate: ").append(date);
  out.append("\r\n");
  append_field(out, "Content-Type", reply.content_type);
  out.append("Content-Length: ");
  append_number(out, reply.body.size());
  out.append("\r\n");
  for (const HttpField& field : reply.fields) append_field(out, field.name, field.value);
  // HTTP/1.0 closes unless told.
  if (!keep)
    out.append("Connection: close\r\n");
  else if (!request.field("Connection").empty())
    out.append("Connection: keep-alive\r\n");
  out.append("\r\n");
  if (request.method != "HEAD") out.append(reply.body);
  phase = keep ? Phase::reading : Phase::closing;
}

Connection::Sent Connection::send() {
  while (out_start < out.size()) {
    const ssize_t count =
        ::send(fd.get(), out.data() + out_start, out.size() - out_start, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN ? Sent::blocked : Sent::failed;
    out_start += static_cast<std::size_t>(count);
  }
  out.clear();
  // Assigning an empty string would keep the memory.
  if (out.capacity() > kKeptBytes) std::string().swap(out);
  out_start = 0;
  return Sent::all;
}

}  // namespace kiln::http
