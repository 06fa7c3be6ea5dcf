#include "engine/comm/launch.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <numeric>
#include <optional>
#include <random>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "engine/comm/sockets.h"
#include "engine/comm/stop_signal.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/thread_pool.h"

namespace kiln {
namespace {

std::string text_of(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? std::string() : std::string(text);
}

// The number in a variable of the environment, 0 to `most`; nothing where it is not set.
std::optional<int> number_of(const char* variable, int most) {
  const std::string text = text_of(variable);
  if (text.empty()) return std::nullopt;
  int value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size() || value < 0 || value > most)
    throw Error(ErrorKind::usage, variable,
                "is " + printable(text) + ", which is no number of 0 to " + std::to_string(most));
  return value;
}

constexpr int kMostRanks = 1 << 16;

struct Names {
  RankEnvironment::Launcher launcher;
  const char *rank, *size, *local_rank, *local_size;
};
constexpr Names kNames[] = {
    {RankEnvironment::Launcher::open_mpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {RankEnvironment::Launcher::torchrun, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
};

[[noreturn]] void contradict(const char* name, int value, const char* other, int other_value) {
  throw Error(
      ErrorKind::usage, name,
      "is " + std::to_string(value) + ", but " + other + " is " + std::to_string(other_value));
}

// One of the two alone: a rank that would take itself for the only one.
void check_both_are_set(const Names& names, const std::optional<int>& rank,
                        const std::optional<int>& size) {
  if (rank.has_value() == size.has_value() || (size && *size == 1)) return;
  throw Error(ErrorKind::usage, rank ? names.rank : names.size,
              std::string("is set, but ") + (rank ? names.size : names.rank) + " is not",
              "set both, or neither");
}

int local_size_of(const Names& names, int size) {
  const int local_size = number_of(names.local_size, kMostRanks).value_or(1);
  if (local_size < 1 || local_size > size)
    contradict(names.local_size, local_size, names.size, size);
  return local_size;
}

int local_rank_of(const Names& names, int local_size) {
  const int local_rank = number_of(names.local_rank, kMostRanks).value_or(0);
  if (!text_of(names.local_size).empty() && local_rank >= local_size)
    contradict(names.local_rank, local_rank, names.local_size, local_size);
  return local_rank;
}

}  // namespace

RankEnvironment rank_environment() {
  for (const Names& names : kNames) {
    const auto rank = number_of(names.rank, kMostRanks), size = number_of(names.size, kMostRanks);
    check_both_are_set(names, rank, size);
    if (!rank || !size) continue;
    if (*rank >= *size) contradict(names.rank, *rank, names.size, *size);
    const int local_size = local_size_of(names, *size);
    return {.launcher = names.launcher,
            .rank = *rank,
            .size = *size,
            .local_rank = local_rank_of(names, local_size),
            .local_size = local_size,
            .address = text_of("MASTER_ADDR"),
            .port = number_of("MASTER_PORT", 65535).value_or(0),
            .launcher_holds_port = text_of("TORCHELASTIC_USE_AGENT_STORE") == "True",
            .run = text_of("TORCHELASTIC_RUN_ID") + " " + text_of("TORCHELASTIC_RESTART_COUNT")};
  }
  return {};
}

std::string unknown_launcher() {
  for (const char* name : {"PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    int count = 0;
    const std::string text = text_of(name);
    std::from_chars(text.data(), text.data() + text.size(), count);
    if (count > 1) return std::string(name) + " is " + std::to_string(count);
  }
  return {};
}

std::vector<LaunchHost> parse_hosts(std::string_view text) {
  std::vector<LaunchHost> hosts;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    const std::size_t colon = word.rfind(':');
    LaunchHost host{.name = std::string(word.substr(0, colon))};
    if (colon != word.npos) {
      const std::string_view count = word.substr(colon + 1);
      const auto [end, fault] =
          std::from_chars(count.data(), count.data() + count.size(), host.slots);
      if (fault != std::errc() || end != count.data() + count.size()) host.slots = 0;
    }
    if (host.name.empty() || host.name[0] == '-' || host.slots < 1 || host.slots > kMostRanks)
      throw Error(ErrorKind::usage, "hosts",
                  "hold " + printable(word) + ", which is no host:ranks");
    hosts.push_back(std::move(host));
  }
  return hosts;
}

std::vector<std::string> mpirun_command(const LaunchOptions& o,
                                        const std::vector<std::string>& program) {
  std::vector<std::string> words = {find_mpirun(), "-n", std::to_string(o.ranks)};
  const auto add = [&](std::initializer_list<std::string> more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  if (::geteuid() == 0) add({"--allow-run-as-root"});
  // A rank has threads, so a core of its own is too little; and where hosts share a machine each
  // would bind its rank 0 to the same core.
  add({"--bind-to", "none"});
  if (o.hosts.empty()) {
    // Where each rank has a CPU it waits at full speed, which --oversubscribe would forbid.
    if (o.ranks <= ThreadPool::available_cpu_count())
      add({"--host", "localhost:" + std::to_string(o.ranks)});
    else
      add({"--oversubscribe"});
  } else {
    const int slots = std::accumulate(o.hosts.begin(), o.hosts.end(), 0,
                                      [](int sum, const LaunchHost& h) { return sum + h.slots; });
    if (slots < o.ranks)
      throw Error(ErrorKind::usage, "hosts",
                  "take " + std::to_string(slots) + " ranks, not " + std::to_string(o.ranks),
                  "name more of them, or more ranks each: host:ranks");
    std::string list;
    for (const LaunchHost& h : o.hosts)
      list += (list.empty() ? "" : ",") + h.name + ":" + std::to_string(h.slots);
    // Ranks in the order of the hosts: the first host's, then the next one's.
    add({"--host", list, "--map-by", "slot"});
  }
  if (!o.remote_shell.empty()) add({"--mca", "plm_rsh_agent", o.remote_shell});
  if (!o.interface.empty())
    add({"--mca", "btl_tcp_if_include", o.interface, "--mca", "oob_tcp_if_include", o.interface});
  for (const std::string& variable : o.variables) add({"-x", variable});
  words.insert(words.end(), o.more.begin(), o.more.end());
  words.insert(words.end(), program.begin(), program.end());
  return words;
}

std::string find_mpirun() { return find_program("mpirun"); }

std::string find_program(std::string_view name) {
  const std::string path = text_of("PATH");
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    std::string file = path.substr(at, end - at) + "/" + std::string(name);
    if (end > at && ::access(file.c_str(), X_OK) == 0) return file;
    at = end + 1;
  }
  return {};
}

namespace {

using Variables = std::vector<std::pair<std::string, std::string>>;

// In a process group of its own, so that Ctrl-C reaches this process alone, and ended with it. An
// empty value takes a variable away.
[[noreturn]] void become(std::vector<std::string> words, const Variables& variables) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (const int nothing = ::open("/dev/null", O_RDONLY); nothing >= 0)
    ::dup2(nothing, STDIN_FILENO);
  for (const auto& [name, value] : variables)
    if (value.empty())
      ::unsetenv(name.c_str());
    else
      ::setenv(name.c_str(), value.c_str(), 1);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execv(argv[0], argv.data());
  std::fprintf(stderr, "%s: cannot be run: %s\n", argv[0], std::strerror(errno));
  ::_exit(127);
}

pid_t start(const std::vector<std::string>& command, const Variables& variables) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw Error(ErrorKind::io, command.at(0), "cannot be started: " + errno_text(errno));
  const UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  const pid_t child = ::fork();
  if (child < 0)
    throw Error(ErrorKind::io, command.at(0), "cannot be started: " + errno_text(errno));
  if (child == 0) become(command, variables);
  // Until the pipe closes: from then on the signals that the child blocks are its own choice.
  in.reset();
  char byte = 0;
  while (::read(out.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  return child;
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

constexpr auto kLook = std::chrono::milliseconds(20);  // at children, between two waits
constexpr auto kAskAgain = std::chrono::seconds(1);
constexpr auto kPatience = std::chrono::seconds(5);  // with a launcher that heeds no SIGUSR1

// The ranks that are processes of this one; what is left of them ends with this object.
class LocalRanks {
 public:
  explicit LocalRanks(std::chrono::milliseconds grace) : grace_(grace) {}
  ~LocalRanks() {
    end();
    for (const Child& child : children_)
      if (child.id > 0) ::waitpid(child.id, nullptr, 0);
  }
  LocalRanks(const LocalRanks&) = delete;
  LocalRanks& operator=(const LocalRanks&) = delete;

  void add(pid_t child) { children_.push_back({.id = child}); }
  bool any() const {
    return std::ranges::any_of(children_, [](const Child& child) { return child.id > 0; });
  }
  // Each once, as soon as it can take it.
  void ask_to_stop() {
    for (Child& child : children_) {
      if (child.id <= 0 || child.asked || !heeds_stop(child.id)) continue;
      ::kill(child.id, SIGUSR1);
      child.asked = true;
    }
  }
  void look();
  int code() const { return code_; }

 private:
  struct Child {
    pid_t id = 0;  // 0: has ended
    bool asked = false;
  };

  const std::chrono::milliseconds grace_;
  std::vector<Child> children_;  // by rank
  int code_ = 0;
  std::chrono::steady_clock::time_point failed_;

  void end() const {
    for (const Child& child : children_)
      if (child.id > 0) ::kill(child.id, SIGKILL);
  }
};

void LocalRanks::look() {
  int status = 0;
  for (Child& child : children_) {
    if (child.id <= 0 || ::waitpid(child.id, &status, WNOHANG) != child.id) continue;
    child.id = 0;
    if (code_ != 0 || code_of(status) == 0) continue;
    code_ = code_of(status);
    failed_ = std::chrono::steady_clock::now();
  }
  if (code_ != 0 && std::chrono::steady_clock::now() - failed_ > grace_) end();
}

std::string random_name() {
  std::random_device random;
  return "kiln-" + std::to_string((std::uint64_t{random()} << 32) | random());
}

}  // namespace

int start_program(const std::vector<std::string>& words) { return start(words, {}); }

int run_launcher(const std::vector<std::string>& command, const std::function<LaunchWish()>& wish,
                 int local_ranks) {
  using Clock = std::chrono::steady_clock;
  const pid_t child = start_program(command);
  Clock::time_point ask_at{}, first_wish{};
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    const LaunchWish wanted = wish();
    if (wanted == LaunchWish::kill) ::kill(child, SIGKILL);
    if (wanted == LaunchWish::stop && Clock::now() >= ask_at) {
      if (first_wish == Clock::time_point{}) first_wish = Clock::now();
      if (launcher_heeds_stop(child, local_ranks) || Clock::now() - first_wish > kPatience) {
        ::kill(child, SIGUSR1);
        ask_at = Clock::now() + kAskAgain;
      }
    }
    std::this_thread::sleep_for(kLook);
  }
  return code_of(status);
}

int run_local_ranks(const std::vector<std::string>& program, int ranks,
                    const std::function<bool()>& stop_requested, std::chrono::milliseconds grace) {
  constexpr const char* kHost = "127.0.0.1";
  // Free now; where it is taken before rank 0 has it, rank 0 takes one behind it.
  const int port = comm::listen_at(kHost, 0, 1).port;
  const Variables variables = {
      {"WORLD_SIZE", std::to_string(ranks)},
      {"LOCAL_WORLD_SIZE", std::to_string(ranks)},
      {"MASTER_ADDR", kHost},
      {"MASTER_PORT", std::to_string(port)},
      {"TORCHELASTIC_RUN_ID", random_name()},
      {"TORCHELASTIC_RESTART_COUNT", ""},
      {"TORCHELASTIC_USE_AGENT_STORE", ""},
      {"OMPI_COMM_WORLD_RANK", ""},  // of an mpirun around, which goes first
      {"OMPI_COMM_WORLD_SIZE", ""}};
  LocalRanks children(grace);
  for (int rank = 0; rank < ranks; ++rank) {
    Variables own = variables;
    for (const char* name : {"RANK", "LOCAL_RANK"}) own.emplace_back(name, std::to_string(rank));
    children.add(start(program, own));
  }
  for (; children.any(); std::this_thread::sleep_for(kLook)) {
    if (stop_requested()) children.ask_to_stop();
    children.look();
  }
  return children.code();
}

}  // namespace kiln
