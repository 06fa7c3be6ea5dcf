#include "engine/core/error.h"

#include <array>
#include <cstring>

namespace kiln {
namespace {

std::string compose(std::string_view thing, std::string_view wrong, std::string_view mend) {
  std::string line(thing);
  line += ": ";
  line += wrong;
  if (!mend.empty()) {
    line += "; ";
    line += mend;
  }
  return line;
}

}  // namespace

Error::Error(ErrorKind kind, std::string_view thing, std::string_view wrong, std::string_view mend)
    : std::runtime_error(compose(thing, wrong, mend)), kind_(kind) {}

int Error::exit_code() const {
  switch (kind_) {
    case ErrorKind::usage:
      return 2;
    case ErrorKind::diverged:
      return 3;
    case ErrorKind::input:
    case ErrorKind::io:
    case ErrorKind::unsupported:
      break;
  }
  return 1;
}

std::string errno_text(int error_number) {
  std::array<char, 256> text{};
  return ::strerror_r(error_number, text.data(), text.size());
}

std::string printable(std::string_view bytes, std::size_t limit) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    if (out.size() >= limit) {
      out += "...";
      break;
    }
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7f) {
      out += "\\x";
      out += kHex[u >> 4];
      out += kHex[u & 15];
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace kiln
