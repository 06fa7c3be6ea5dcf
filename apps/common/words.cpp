#include "apps/common/words.h"

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"

namespace kiln {
namespace {

// Levenshtein's distance.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::vector<std::string> normalise_flags(int argc, char** argv) {
  std::vector<std::string> words;
  bool flags = true;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word == "--") flags = false;
    if (flags && word.starts_with("--"))
      std::replace(
          word.begin(),
          word.begin() + static_cast<std::ptrdiff_t>(std::min(word.find('='), word.size())), '_',
          '-');
    words.push_back(std::move(word));
  }
  return words;
}

std::string nearest_of(std::span<const std::string> flags, std::string_view word) {
  std::string best;
  std::size_t best_distance = 3;
  for (const std::string& flag : flags) {
    const std::size_t distance = edit_distance(word, flag);
    const bool begun = word.size() > 4 && flag.starts_with(word);
    if (distance < best_distance || (begun && best.empty())) {
      best = flag;
      best_distance = std::min(distance, best_distance);
    }
  }
  return best;
}

void refuse_word(std::string_view program, std::span<const std::string> flags,
                 const std::string& word) {
  const bool flag = word.starts_with("-") && word != "-";
  const std::string name = flag ? word.substr(0, word.find('=')) : word;
  const std::string near = flag ? nearest_of(flags, name) : "";
  throw Error(
      ErrorKind::usage, printable(name),
      flag ? "is no flag of " + std::string(program) : "is one argument too many",
      near.empty() ? "see " + std::string(program) + " --help" : "did you mean " + near + "?");
}

}  // namespace kiln
