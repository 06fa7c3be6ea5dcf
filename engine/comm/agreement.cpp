#include "engine/comm/agreement.h"

#include <algorithm>

#include "engine/core/error.h"

namespace kiln {
namespace {

// Names and values as lines; neither holds a line's end.
std::string lines_of(const AgreedValues& values) {
  std::string text;
  for (const auto& [name, value] : values)
    for (const auto& [part, end] : {std::pair{&name, '\t'}, std::pair{&value, '\n'}}) {
      for (const char c : *part) text += c == '\n' || c == '\t' ? ' ' : c;
      text += end;
    }
  return text;
}

struct Line {
  std::string name, value;
};

// The line that begins at `at`, which is moved behind it.
Line next_line(const std::string& text, std::size_t& at) {
  const std::size_t end = std::min(text.find('\n', at), text.size());
  const std::string line = text.substr(at, end - at);
  at = std::min(end + 1, text.size());
  const std::size_t tab = std::min(line.find('\t'), line.size());
  return {line.substr(0, tab), tab < line.size() ? line.substr(tab + 1) : std::string()};
}

[[noreturn]] void differ(int rank, const std::string& theirs, const std::string& ours) {
  std::size_t at = 0, other_at = 0;
  while (at < ours.size() || other_at < theirs.size()) {
    const Line a = next_line(ours, at), b = next_line(theirs, other_at);
    if (a.name == b.name && a.value == b.value) continue;
    if (a.name != b.name) break;
    throw Error(ErrorKind::usage, "rank " + std::to_string(rank),
                "has another " + printable(a.name) + " than rank 0: " + printable(b.value) +
                    ", not " + printable(a.value),
                "start every rank with the same program, data and settings");
  }
  throw Error(ErrorKind::usage, "rank " + std::to_string(rank), "knows other settings than rank 0",
              "start every rank with the same program");
}

}  // namespace

void check_agreement(Communicator& communicator, const AgreedValues& values) {
  const std::vector<std::string> all = all_gather_text(communicator, lines_of(values));
  for (std::size_t rank = 1; rank < all.size(); ++rank)
    if (all[rank] != all[0]) differ(static_cast<int>(rank), all[rank], all[0]);
}

}  // namespace kiln
