#include "apps/sagemaker-train/hosts.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include "apps/sagemaker-train/host_link.h"
#include "apps/sagemaker-train/network.h"
#include "apps/sagemaker-train/outcome.h"
#include "apps/sagemaker-train/ssh.h"
#include "apps/train/ranks.h"
#include "engine/comm/mpi_communicator.h"
#include "engine/core/error.h"

namespace kiln::sagemaker {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kHour = 3600;
constexpr auto kLook = 100ms;
constexpr const char* kDead = "has died: its connection is closed";
// Behind a host's death its ranks are missed by the others, which end and say so themselves.
constexpr auto kEndByThemselves = 10s;

void say(const std::string& line) {
  std::printf("kiln: %s\n", line.c_str());
  std::fflush(stdout);
}

void require_mpi() {
  std::string why;
  if (!has_mpi(why) || find_mpirun().empty())
    throw Error(ErrorKind::unsupported, "a job of several hosts",
                "needs Open MPI: " + (why.empty() ? std::string("no mpirun in PATH") : why),
                "install openmpi-bin, or start the job with one instance");
}

// The job's interface where it exists, else the one by which this host reaches the others: local
// mode names one that need not be there.
std::string choose_interface(const std::string& wanted, const std::string& other_host) {
  if (has_interface(wanted)) return wanted;
  std::string found = interface_towards(address_of(other_host));
  if (found.empty())
    throw Error(ErrorKind::io, "network interface " + wanted,
                "does not exist here, and none leads to host " + other_host);
  say("network interface " + wanted + " does not exist here; " + found + " leads to " + other_host);
  return found;
}

// The workers' sshd answered on their own side; from here a name or a filter may be in between.
// False where stop_asked() or a worker said so.
bool wait_for_ssh(const Plan& plan, LeaderLink& link, Clock::time_point end,
                  const StopAsked& stop_asked) {
  for (std::size_t i = 1; i < plan.hosts.size(); ++i) {
    const std::string& host = plan.hosts[i];
    while (true) {
      const std::string address = address_of(host);
      if (!address.empty() && greets_as_ssh(address, kSshPort)) break;
      if (stop_asked() || link.stop_asked()) return false;
      if (!link.lost().empty()) throw Error(ErrorKind::io, "host " + link.lost(), kDead);
      if (Clock::now() >= end)
        throw Error(ErrorKind::io, "host " + host,
                    address.empty() ? "has come, but its name does not resolve"
                                    : "has come, but its sshd at " + address + ", port " +
                                          std::to_string(kSshPort) + ", does not answer");
      link.look(kLook);
      std::this_thread::sleep_for(kLook);
    }
  }
  return true;
}

// What ranks on other hosts need of the environment: sshd gives them none of it.
std::vector<std::string> rank_variables() {
  constexpr std::string_view kNames[] = {
      "PATH=", "LD_LIBRARY_PATH=", "SAGEMAKER_BASE_DIR=", "TRAINING_JOB_", "KILN_",
      "OMP_",  "ASAN_OPTIONS="};
  std::vector<std::string> variables;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view text = *at;
    if (std::ranges::any_of(kNames, [&](std::string_view name) { return text.starts_with(name); }))
      variables.emplace_back(text.substr(0, text.find('=')));
  }
  return variables;
}

// As SageMaker's own containers start mpirun: one network between hosts, shared memory within one,
// without the copies between processes that containers forbid.
std::vector<std::string> mpi_options() {
  std::vector<std::string> words;
  for (const auto& [name, value] : {std::pair{"plm_rsh_no_tree_spawn", "1"},
                                    {"pml", "ob1"},
                                    {"btl", "self,vader,tcp"},
                                    {"btl_vader_single_copy_mechanism", "none"}})
    words.insert(words.end(), {"--mca", name, value});
  return words;
}

// The first line of a file that ranks may have written; empty where there is none.
std::string first_line(const Path& file) {
  if (!std::filesystem::exists(file)) return {};
  const std::string text = read_text_file(file, 1 << 20);
  return text.substr(0, text.find('\n'));
}

// Runs the ranks; returns mpirun's exit code. They are told of a stop when all of them have begun:
// a signal that comes sooner ends processes or is lost.
int run_ranks(const Plan& plan, const std::string& interface, const SshServer& server,
              LeaderLink& link, const std::vector<std::string>& command_line,
              SignalWatch& signals) {
  TrainFlags flags = plan.flags;
  flags.interface = interface;
  flags.remote_shell = server.remote_shell();
  const Path started = server.folder() / kStartedFile;
  ::setenv(kLeaderFolder, server.folder().c_str(), 1);
  std::optional<Clock::time_point> kill_at;
  const auto wish = [&] {
    link.look(0ms);
    if (!link.lost().empty() && !kill_at) kill_at = Clock::now() + kEndByThemselves;
    if (kill_at && Clock::now() >= *kill_at) return LaunchWish::kill;
    const bool stop = signals.pending() != 0 || link.stop_asked();
    return stop && std::filesystem::exists(started) ? LaunchWish::stop : LaunchWish::go_on;
  };
  return launch_ranks(flags, command_line,
                      {.variables = rank_variables(), .more = mpi_options(), .wish = wish});
}

// Why a run failed, the most telling first.
std::string cause_of(const LeaderLink& link, const SshServer& server, const ContainerPaths& paths,
                     int code) {
  for (const Path& file : {server.folder() / kCauseFile, paths.output() / "failure"})
    if (std::string cause = first_line(file); !cause.empty()) return cause;
  if (!link.lost().empty()) return "host " + link.lost() + ": " + kDead;
  return "a process of the job failed with exit code " + std::to_string(code) +
         "; its own line is in the log";
}

constexpr const char* kStoppedEarly = "the job was stopped before it began; nothing was trained";

int stopped_early(LeaderLink& link) {
  link.tell({.cause = kStoppedEarly});
  say(kStoppedEarly);
  return 0;
}

int lead(const Plan& plan, const Resources& resources, const ContainerPaths& paths,
         const std::vector<std::string>& command_line, SignalWatch& signals) {
  const std::chrono::seconds timeout = host_timeout();
  require_mpi();
  const SshKey key;
  SshServer server(key);
  LeaderLink link(plan.hosts, key.token());
  const auto end = Clock::now() + timeout;
  const auto stop_asked = [&] { return signals.pending() != 0; };
  try {
    server.wait_until_ready();
    say("this host leads; " + std::to_string(plan.flags.ranks) + " processes on " +
        std::to_string(plan.hosts.size()) + " hosts; waiting for the others");
    if (!link.gather(timeout, stop_asked) || !wait_for_ssh(plan, link, end, stop_asked))
      return stopped_early(link);
    const std::string& wanted =
        plan.flags.interface.empty() ? resources.network_interface : plan.flags.interface;
    const std::string interface = choose_interface(wanted, plan.hosts[1]);
    say("all hosts are here; their ranks talk over " + interface);
    const int code = run_ranks(plan, interface, server, link, command_line, signals);
    if (code != 0) throw std::runtime_error(cause_of(link, server, paths, code));
    write_success(paths);
    link.tell({});
  } catch (const std::exception& error) {
    link.tell({.code = 1, .cause = error.what()});
    throw;
  }
  return signals.pending() == SIGINT ? 130 : 0;
}

int follow(const Plan& plan, const Resources& resources, const ContainerPaths& paths,
           SignalWatch& signals) {
  const std::string& leader = plan.hosts.front();
  const std::chrono::seconds timeout = host_timeout();
  const SshKey key;
  SshServer server(key);
  server.wait_until_ready();
  say("host " + leader + " leads; this one waits for its ranks, and for the end");
  auto link = WorkerLink::reach(leader, resources.current_host, key.token(), timeout,
                                [&] { return signals.pending() != 0; });
  if (!link) {
    say(kStoppedEarly);
    return 0;
  }
  bool told = false;
  while (true) {
    if (const auto end = link->end(kLook)) {
      if (end->code != 0) throw std::runtime_error("host " + leader + " says: " + end->cause);
      if (end->cause.empty())
        write_success(paths);
      else
        say(end->cause);
      return signals.pending() == SIGINT ? 130 : 0;
    }
    server.check();
    if (!told && signals.pending() != 0) link->ask_to_stop();
    told = signals.pending() != 0;
  }
}

}  // namespace

std::chrono::seconds host_timeout() {
  const char* text = std::getenv("KILN_HOST_TIMEOUT");
  if (text == nullptr || *text == '\0') return std::chrono::seconds(kHour);
  const std::string_view digits = text;
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  constexpr std::int64_t kMost = 7 * 24 * kHour;
  if (fault != std::errc() || end != digits.data() + digits.size() || value < 1 || value > kMost)
    throw Error(ErrorKind::usage, "KILN_HOST_TIMEOUT",
                "is " + printable(digits) + ", which is no number of seconds, 1 to " +
                    std::to_string(kMost));
  return std::chrono::seconds(value);
}

int run_host(const Plan& plan, const Resources& resources, const ContainerPaths& paths,
             const std::vector<std::string>& command_line, SignalWatch& signals) {
  return resources.rank() == 0 ? lead(plan, resources, paths, command_line, signals)
                               : follow(plan, resources, paths, signals);
}

}  // namespace kiln::sagemaker
