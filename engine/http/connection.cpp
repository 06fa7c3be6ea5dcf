#include "engine/http/connection.h"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>

namespace kiln::http {
namespace {

// Text of a handler must not end a line of the header early.
bool printable_field(const HttpField& field) {
  const auto good = [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; };
  return std::all_of(field.name.begin(), field.name.end(), good) &&
         std::all_of(field.value.begin(), field.value.end(), good);
}

void append_field(std::string& out, const HttpField& field) {
  if (!printable_field(field)) return;
  out.append(field.name).append(": ").append(field.value).append("\r\n");
}

}  // namespace

HttpReply error_reply(int status, std::string_view message) {
  return {.status = status, .body = http_error_body(message)};
}

void Connection::queue(const HttpReply& reply, bool keep) {
  const HttpHeader& request = parser.header();
  out.append("HTTP/1.1 ").append(std::to_string(reply.status)).append(" ");
  out.append(http_reason(reply.status)).append("\r\n");
  append_field(out, {"Content-Type", reply.content_type});
  out.append("Content-Length: ").append(std::to_string(reply.body.size())).append("\r\n");
  for (const HttpField& field : reply.fields) append_field(out, field);
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
  out_start = 0;
  return Sent::all;
}

}  // namespace kiln::http
