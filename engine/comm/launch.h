// How the ranks of a run come to be: what a launcher says in the environment, the command line that
// starts them with Open MPI's launcher, on one host or several, and a launcher for this machine.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// Which rank this process is, by its environment.
struct RankEnvironment {
  enum class Launcher { none, open_mpi, torchrun };
  Launcher launcher = Launcher::none;
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // among the ranks of this host
  std::string address;                 // torchrun's MASTER_ADDR and MASTER_PORT
  int port = 0;
  bool launcher_holds_port = false;  // TORCHELASTIC_USE_AGENT_STORE: its own store listens there
  std::string run;                   // TORCHELASTIC_RUN_ID and _RESTART_COUNT
};

// OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK and _LOCAL_SIZE of Open MPI's mpirun, else torchrun's
// RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE; MASTER_ADDR, MASTER_PORT and what begins with
// TORCHELASTIC_ with both. Throws Error (usage) for a value that is no number, does not fit the
// others, or lacks the one that belongs to it.
RankEnvironment rank_environment();

// "NAME is COUNT" where the environment says that a launcher has started several processes of which
// rank_environment() knows nothing: MPICH's mpirun (PMI_SIZE) or Slurm's srun. Else empty.
std::string unknown_launcher();

struct LaunchHost {
  std::string name;
  int slots = 1;  // ranks that it takes
};

struct LaunchOptions {
  int ranks = 1;
  std::vector<LaunchHost> hosts;       // empty: this machine
  std::string interface;               // the network's name or its subnet in CIDR form; empty: any
  std::string remote_shell;            // starts a command on a host, in place of ssh; empty: ssh
  std::vector<std::string> variables;  // of the environment, which ranks get too: NAME, NAME=VALUE
  std::vector<std::string> more;       // further words for mpirun
};

// mpirun's command line for `program`, which is given by its path, with its arguments.
// Throws Error (usage) where the hosts do not take that many ranks.
std::vector<std::string> mpirun_command(const LaunchOptions& options,
                                        const std::vector<std::string>& program);

// "host:slots,host:slots"; without a number a host takes one rank. Throws Error (usage).
std::vector<LaunchHost> parse_hosts(std::string_view text);

// The path of the program `name` in $PATH; empty where there is none.
std::string find_program(std::string_view name);
// Of Open MPI's mpirun.
std::string find_mpirun();

// Starts `words`, whose first is a program's path, with nothing on its standard input, in a process
// group of its own, so that Ctrl-C does not reach it; it gets SIGTERM when the calling thread ends.
// Returns its process id; the caller waits for it. Throws Error (io).
int start_program(const std::vector<std::string>& words);

// What is to become of a run that mpirun has started.
enum class LaunchWish { go_on, stop, kill };

// Runs `command`, whose first word is mpirun's path, and returns its exit code, or 128 + the signal
// that ended it. `wish` is asked all the time. At `stop` mpirun is sent SIGUSR1, as soon as it and
// the ranks on this machine, `local_ranks` or more, can take it, and then every second, since what
// comes before ranks elsewhere are there is lost: it hands that on to the ranks, whereas behind
// SIGINT and SIGTERM it gives them one second. At `kill` it is killed, and its daemons end the
// ranks. Throws Error (io).
int run_launcher(const std::vector<std::string>& command, const std::function<LaunchWish()>& wish,
                 int local_ranks = 0);

// Runs `program`, given by its path, with its arguments, once for each rank on this machine: each
// has the variables of torchrun and meets the others at the loopback. Returns the exit code of the
// first rank that failed, or 128 + the signal that ended it; 0 where all went well. When
// stop_requested() says so each rank is sent SIGUSR1, once, when it can take it. A rank that has
// not ended `grace` behind one that failed is killed. Throws Error (io).
int run_local_ranks(const std::vector<std::string>& program, int ranks,
                    const std::function<bool()>& stop_requested,
                    std::chrono::milliseconds grace = std::chrono::seconds(5));

}  // namespace kiln
