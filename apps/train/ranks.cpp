#include "apps/train/ranks.h"

#include <chrono>
#include <filesystem>
#include <thread>
#include <unistd.h>
#include <utility>

#include "engine/comm/handshake.h"
#include "engine/comm/mpi_communicator.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

using Launcher = RankEnvironment::Launcher;

constexpr std::chrono::milliseconds kTimeToSpeak{250};
constexpr int kMostThreadRanks = 1024;

// This program with this command line, as ranks run it.
std::vector<std::string> own_program(const std::vector<std::string>& command_line) {
  std::vector<std::string> program = {std::filesystem::read_symlink("/proc/self/exe").string()};
  program.insert(program.end(), command_line.begin() + 1, command_line.end());
  return program;
}

int exit_code(int code, SignalWatch& signals) {
  return code == 0 && signals.pending() == SIGINT ? 130 : code;
}

// The first flag that only mpirun heeds; empty where there is none.
std::string flag_of_mpirun(const TrainFlags& f) {
  if (!f.hosts.empty()) return "--hosts";
  if (!f.interface.empty()) return "--interface";
  return f.remote_shell.empty() ? "" : "--remote-shell";
}

// Where no mpirun is at work, one flag for it would do nothing.
void refuse_flags_of_mpirun(const TrainFlags& flags, const std::string& wrong, const char* mend) {
  if (const std::string flag = flag_of_mpirun(flags); !flag.empty())
    throw Error(ErrorKind::usage, flag, wrong, mend);
}

std::string variable_of(const RankEnvironment& place) {
  return place.launcher == Launcher::open_mpi
             ? "OMPI_COMM_WORLD_SIZE " + std::to_string(place.size) + ", which mpirun sets"
             : "WORLD_SIZE " + std::to_string(place.size) + ", which torchrun sets";
}

}  // namespace

bool meets_over_tcp(const TrainFlags& flags, const RankEnvironment& place) {
  const bool by_mpirun = place.launcher == Launcher::open_mpi;
  if (flags.comm == "threads" || (flags.comm == "mpi" && !by_mpirun))
    throw Error(ErrorKind::usage, "--comm " + flags.comm, "does not fit " + variable_of(place),
                by_mpirun ? "leave --comm out, or start one process without mpirun"
                          : "use --comm tcp, or unset RANK and WORLD_SIZE");
  return flags.comm == "tcp" || !by_mpirun;
}

RankWay way_of_ranks(const TrainFlags& flags, const RankEnvironment& place) {
  if (place.launcher != Launcher::none && place.size > 1) {
    if (flags.ranks > 0 && flags.ranks != place.size)
      throw Error(ErrorKind::usage, "--ranks " + std::to_string(flags.ranks),
                  "is not what the launcher has started: " + std::to_string(place.size));
    if (place.launcher != Launcher::open_mpi)
      refuse_flags_of_mpirun(flags, "does not fit " + variable_of(place), "leave it out");
    return RankWay::launched;
  }
  if (flags.ranks < 2) {
    refuse_flags_of_mpirun(flags, "is given, but no ranks to start there",
                           "add --ranks N, for all hosts together");
    return RankWay::alone;
  }
  if (flags.comm != "tcp" && flags.comm != "threads") {
    if (place.launcher == Launcher::open_mpi)
      throw Error(ErrorKind::usage, "--ranks " + std::to_string(flags.ranks),
                  "cannot be started by mpirun within mpirun, which has started this process alone",
                  "start them with mpirun -n " + std::to_string(flags.ranks) +
                      ", or use --comm tcp or threads");
    return RankWay::mpirun_or_threads;
  }
  refuse_flags_of_mpirun(flags, "does not go with --comm " + flags.comm,
                         "use --comm mpi, or start the ranks with torchrun");
  const int most = flags.comm == "tcp" ? comm::kMostTcpRanks : kMostThreadRanks;
  if (flags.ranks > most)
    throw Error(ErrorKind::usage, "--ranks " + std::to_string(flags.ranks),
                "is more than --comm " + flags.comm + " takes: " + std::to_string(most),
                "use fewer ranks");
  return flags.comm == "tcp" ? RankWay::tcp : RankWay::threads;
}

bool can_mpirun(const TrainFlags& flags, Log& log) {
  std::string why;
  const bool plugin = has_mpi(why);
  if (plugin && !find_mpirun().empty()) return true;
  if (plugin) why = "no mpirun in PATH";
  if (flags.comm == "mpi" || !flag_of_mpirun(flags).empty())
    throw Error(ErrorKind::unsupported, "--comm mpi", "cannot be used: " + why,
                "install Open MPI (openmpi-bin), or use --comm threads");
  log.info("ranks: threads of this process, since " + why);
  return false;
}

int launch_here(const TrainFlags& flags, const std::vector<std::string>& command_line,
                SignalWatch& signals) {
  return exit_code(run_local_ranks(own_program(command_line), static_cast<int>(flags.ranks),
                                   [&] { return signals.pending() != 0; }),
                   signals);
}

int launch_mpirun(const TrainFlags& flags, const std::vector<std::string>& command_line,
                  SignalWatch& signals) {
  const auto wish = [&] { return signals.pending() != 0 ? LaunchWish::stop : LaunchWish::go_on; };
  return exit_code(launch_ranks(flags, command_line, {.wish = wish}), signals);
}

// Ranks see a terminal of mpirun's own, also where there is none.
int launch_ranks(const TrainFlags& flags, const std::vector<std::string>& command_line,
                 RankLaunch launch) {
  if (::isatty(STDOUT_FILENO) == 0) launch.variables.emplace_back("TERM=dumb");
  const LaunchOptions options{.ranks = static_cast<int>(flags.ranks),
                              .hosts = parse_hosts(flags.hosts),
                              .interface = flags.interface,
                              .remote_shell = flags.remote_shell,
                              .variables = std::move(launch.variables),
                              .more = std::move(launch.more)};
  return run_launcher(mpirun_command(options, own_program(command_line)), launch.wish,
                      options.hosts.empty() ? options.ranks : 0);
}

void let_other_ranks_speak() {
  try {
    if (rank_environment().size > 1) std::this_thread::sleep_for(kTimeToSpeak);
  } catch (const Error&) {
    // A wrong variable, which has ended this rank: the others have it too.
  }
}

}  // namespace kiln
