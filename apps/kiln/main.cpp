// kiln: runs `kiln-<verb>`, which lies beside this program. PATH is not searched: what runs is
// always of the same build.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <unistd.h>

namespace {

struct Verb {
  const char* name;
  const char* text;
};

constexpr Verb kVerbs[] = {
    {"train", "train a network on a data set"},
    {"eval", "loss, accuracy and confusion matrix of a model on a data set"},
    {"speedrun", "how fast a recipe trains, and how well, over many runs"},
    {"predict", "what a model sees in pictures"},
    {"inspect", "layers, shapes, parameters, work and memory of a network"},
    {"data", "import, draw, describe and verify data sets"},
    {"serve", "answer predictions over HTTP"},
    {"convert", "models from and to other formats"},
    {"bench", "measure this machine and every kernel on it"},
};
constexpr std::size_t kMaxVerbLength = 32;

// The path of kiln-<verb> beside this program, in a buffer of its own.
class Program {
 public:
  explicit Program(const char* verb) {
    const ssize_t length = ::readlink("/proc/self/exe", path_, sizeof path_ - 1);
    if (length <= 0) return;
    path_[length] = '\0';
    char* slash = std::strrchr(path_, '/');
    if (slash == nullptr) return;
    const auto room = static_cast<std::size_t>(path_ + sizeof path_ - slash - 1);
    const int written = std::snprintf(slash + 1, room, "kiln-%s", verb);
    found_ = written > 0 && static_cast<std::size_t>(written) < room && ::access(path_, X_OK) == 0;
  }
  bool found() const { return found_; }
  const char* path() const { return path_; }

 private:
  char path_[PATH_MAX] = {};
  bool found_ = false;
};

const Verb* find_verb(std::string_view name) {
  const auto* at = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                [name](const Verb& verb) { return name == verb.name; });
  return at == std::end(kVerbs) ? nullptr : at;
}

// Letters and dashes only: a verb never leaves the program's folder.
bool is_verb_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxVerbLength && name[0] != '-' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

// Levenshtein's distance; both are at most kMaxVerbLength long.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::size_t row[kMaxVerbLength + 1];
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min(replaced, std::min(row[j], row[j + 1]) + 1);
    }
  }
  return row[b.size()];
}

void print_help() {
  std::printf(
      "kiln %s: trains convolutional networks, and uses them\n\n"
      "usage: kiln <verb> [arguments]      kiln <verb> --help says more\n\n",
      KILN_VERSION);
  for (const Verb& verb : kVerbs)
    std::printf("  %-8s  %s%s\n", verb.name, verb.text,
                Program(verb.name).found() ? "" : " (not in this build)");
  std::fputs(
      "\nexamples:\n"
      "  kiln data synth data/synth\n"
      "  kiln train --model lenet --data data/synth --model-dir kiln-model --epochs 5\n"
      "  kiln eval kiln-model --data data/synth\n"
      "  kiln predict kiln-model picture.png photos/\n"
      "  kiln inspect resnet18\n"
      "\nexit codes: 0 done, 1 data, model or system, 2 usage, 3 training diverged, 130 Ctrl-C,\n"
      "            143 SIGTERM\n",
      stdout);
}

int refuse(const char* word) {
  const std::string_view name(word);
  if (find_verb(name) != nullptr) {
    std::fprintf(stderr, "kiln: %s: is not in this build; kiln --help lists what is\n", word);
    return 1;
  }
  const Verb* nearest = nullptr;
  std::size_t best = 3;
  if (is_verb_name(name))
    for (const Verb& verb : kVerbs)
      if (const std::size_t distance = edit_distance(name, verb.name); distance < best) {
        best = distance;
        nearest = &verb;
      }
  char shown[80];  // without what could steer a terminal
  std::size_t length = 0;
  for (const char c : name.substr(0, sizeof shown - 1))
    shown[length++] = c >= 0x20 && c < 0x7f ? c : '?';
  shown[length] = '\0';
  if (nearest != nullptr)
    std::fprintf(stderr, "kiln: %s: is no verb; did you mean kiln %s?\n", shown, nearest->name);
  else
    std::fprintf(stderr, "kiln: %s: is no verb; kiln --help lists them\n", shown);
  return 2;
}

// Replaces this process; returns only when that failed.
int run(const char* word, char** argv) {
  if (!is_verb_name(word)) return refuse(word);
  const Program program(word);
  if (!program.found()) return refuse(word);
  ::execv(program.path(), argv);
  std::fprintf(stderr, "kiln: %s: cannot run: %s\n", program.path(), std::strerror(errno));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    print_help();
    return 2;
  }
  const std::string_view word(argv[1]);
  const bool help = word == "--help" || word == "-h" || word == "help";
  if (help && argc == 2) {
    print_help();
    return 0;
  }
  if (word == "--version" || word == "version") {
    std::puts("kiln " KILN_VERSION);
    return 0;
  }
  if (word == "help") {
    char flag[] = "--help";
    char* words[] = {argv[2], flag, nullptr};
    return run(argv[2], words);
  }
  return run(argv[1], argv + 1);
}
