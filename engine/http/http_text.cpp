#include <array>
#include <chrono>
#include <cstdio>
#include <utility>

#include "engine/core/utf8.h"
#include "engine/http/http_parser.h"

namespace kiln::http {

std::string_view http_reason(int status) {
  static constexpr std::array<std::pair<int, std::string_view>, 21> kReasons = {
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
       {505, "HTTP Version Not Supported"},
       {507, "Insufficient Storage"}}};
  for (const auto& [code, reason] : kReasons)
    if (code == status) return reason;
  return "Unknown";
}

std::string http_date(std::chrono::system_clock::time_point time) {
  namespace chrono = std::chrono;
  static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                       "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = chrono::floor<chrono::days>(time);
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss clock(chrono::floor<chrono::seconds>(time - day));
  char text[40];
  std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d GMT",
                kDays[chrono::weekday(day).c_encoding()], static_cast<unsigned>(date.day()),
                kMonths[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text;
}

std::string http_error_body(std::string_view message) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string body = R"({"error": ")";
  while (!message.empty()) {
    const std::size_t length = utf8_length(message);
    const auto code = static_cast<unsigned char>(message[0]);
    if (length == 0) {
      body += kReplacementCharacter;
    } else if (code == '"' || code == '\\') {
      body += {'\\', message[0]};
    } else if (code < ' ' || code == 0x7f) {
      body += {'\\', 'u', '0', '0', kHex[code >> 4], kHex[code & 15]};
    } else {
      body += message.substr(0, length);
    }
    message.remove_prefix(length == 0 ? 1 : length);
  }
  return body + "\"}\n";
}

}  // namespace kiln::http
