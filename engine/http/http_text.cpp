#include <array>
#include <utility>

#include "engine/http/http_parser.h"

namespace kiln::http {

std::string_view http_reason(int status) {
  static constexpr std::array<std::pair<int, std::string_view>, 20> kReasons = {
      {{100, "Continue"},
       {200, "OK"},
       {204, "No Content"},
       {400, "Bad Request"},
       {404, "Not Found"},
       {405, "Method Not Allowed"},
       {406, "Not Acceptable"},
       {408, "Request Timeout"},
       {409, "Conflict"},
       {413, "Content Too Large"},
       {415, "Unsupported Media Type"},
       {417, "Expectation Failed"},
       {422, "Unprocessable Content"},
       {429, "Too Many Requests"},
       {431, "Request Header Fields Too Large"},
       {500, "Internal Server Error"},
       {501, "Not Implemented"},
       {503, "Service Unavailable"},
       {504, "Gateway Timeout"},
       {505, "HTTP Version Not Supported"}}};
  for (const auto& [code, reason] : kReasons)
    if (code == status) return reason;
  return "Unknown";
}

std::string http_error_body(std::string_view message) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string body = R"({"error": ")";
  for (const char c : message) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      body += {'\\', c};
    } else if (code < ' ' || code >= 0x7f) {
      body += "\\u00";
      body += {kHex[code >> 4], kHex[code & 15]};
    } else {
      body += c;
    }
  }
  return body + "\"}\n";
}

}  // namespace kiln::http
