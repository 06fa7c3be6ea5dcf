// kiln bench: what this machine does. So far: allreduce.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

#include "apps/bench/allreduce.h"
#include "apps/common/app_main.h"
#include "apps/common/options.h"
#include "engine/comm/launch.h"
#include "engine/comm/mpi_communicator.h"
#include "engine/comm/tcp_communicator.h"
#include "engine/comm/thread_communicator.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

struct BenchFlags {
  AllreduceOptions options;
  int ranks = 0;     // 0: not said
  std::string comm;  // empty: not said
  bool json = false;
};

constexpr int kRanks = 2;

void declare(CLI::App& app, BenchFlags& f) {
  app.require_subcommand(1);
  CLI::App* allreduce = app.add_subcommand("allreduce", "sums of buffers over several ranks");
  allreduce
      ->add_option("--ranks", f.ranks,
                   "how many; default: those that mpirun or torchrun has started, else 2")
      ->check(CLI::Range(1, 1024));
  allreduce
      ->add_option("--comm", f.comm,
                   "threads, mpi (starts itself with mpirun), tcp (starts itself); default: what "
                   "fits mpirun or torchrun, else threads")
      ->check(CLI::IsMember({"threads", "mpi", "tcp"}));
  allreduce->add_option("--min-bytes", f.options.least_bytes, "first size")
      ->check(CLI::Range(std::int64_t{4}, std::int64_t{1} << 36));
  allreduce->add_option("--max-bytes", f.options.most_bytes, "last size")
      ->check(CLI::Range(std::int64_t{4}, std::int64_t{1} << 36));
  allreduce->add_option("--factor", f.options.factor, "from one size to the next")
      ->check(CLI::Range(2, 1024));
  allreduce->add_option("--seconds", f.options.seconds, "measured for each size, about")
      ->check(CLI::Range(0.0, 3600.0));
  allreduce->add_flag("--async", f.options.asynchronous,
                      "start and wait, as for gradients, in place of the blocking call");
  allreduce->add_flag("--json", f.json, "one object, with the names of nccl-tests");
}

// A rank that is in a call of MPI which does not come back can only be ended.
void leave(const Error& error) {
  std::fprintf(stderr, "kiln bench: %s\n", error.what());
  std::fflush(stderr);
  ::_exit(error.exit_code());
}

// True where every sum was right.
bool run(Communicator& communicator, const BenchFlags& flags) {
  const auto results = measure_allreduce(communicator, flags.options);
  if (communicator.rank() == 0)
    std::fputs(
        (flags.json ? to_json(results, communicator) : to_table(results, communicator)).c_str(),
        stdout);
  return std::ranges::all_of(results, [](const AllreduceResult& r) { return r.wrong == 0; });
}

// Starts this program once for each rank.
int launch(const BenchFlags& flags, int argc, char** argv) {
  std::vector<std::string> program = {std::filesystem::read_symlink("/proc/self/exe").string()};
  program.insert(program.end(), argv + 1, argv + argc);
  const int ranks = flags.ranks > 0 ? flags.ranks : kRanks;
  if (flags.comm == "tcp") return run_local_ranks(program, ranks, [] { return false; });
  std::string why;
  if (!has_mpi(why) || find_mpirun().empty())
    throw Error(ErrorKind::unsupported, "--comm mpi",
                "cannot be used: " + (why.empty() ? std::string("no mpirun in PATH") : why),
                "install Open MPI (openmpi-bin), or use --comm threads");
  return run_launcher(mpirun_command({.ranks = ranks}, program), [] { return LaunchWish::go_on; });
}

void check(const BenchFlags& f, const RankEnvironment& place) {
  if (f.options.least_bytes > f.options.most_bytes)
    throw Error(ErrorKind::usage, "--min-bytes " + std::to_string(f.options.least_bytes),
                "is more than --max-bytes " + std::to_string(f.options.most_bytes));
  const bool by_mpirun = place.launcher == RankEnvironment::Launcher::open_mpi;
  if (place.size == 1 && !by_mpirun) return;
  if (f.ranks > 0 && f.ranks != place.size)
    throw Error(ErrorKind::usage, "--ranks " + std::to_string(f.ranks),
                "is not what the launcher has started: " + std::to_string(place.size));
  if (f.comm == "threads" || (f.comm == "mpi" && !by_mpirun))
    throw Error(ErrorKind::usage, "--comm " + f.comm,
                std::string("does not fit ") + (by_mpirun ? "mpirun" : "torchrun") +
                    ", which has started " + std::to_string(place.size) + " processes",
                "leave --comm out");
}

// This process is a rank, or the ranks are threads of it, or it starts them.
int bench(int argc, char** argv) {
  CLI::App app("Measures this machine.", "kiln bench");
  BenchFlags flags;
  declare(app, flags);
  parse_flags(app, argc, argv);
  using Launcher = RankEnvironment::Launcher;
  const RankEnvironment place = rank_environment();
  check(flags, place);
  const bool tcp = flags.comm == "tcp";
  bool right = true;
  if (place.launcher == Launcher::open_mpi && !tcp)
    right = run(*make_mpi_communicator({.on_stuck = leave}), flags);
  else if (place.size > 1 || (tcp && place.launcher == Launcher::torchrun))
    right = run(*make_tcp_communicator(meeting_place(place), {}), flags);
  else if (tcp || flags.comm == "mpi")
    return launch(flags, argc, argv);
  else
    run_thread_ranks({.size = flags.ranks > 0 ? flags.ranks : kRanks},
                     [&](Communicator& communicator) {
                       const bool mine = run(communicator, flags);
                       if (communicator.rank() == 0) right = mine;
                     });
  return right ? 0 : 1;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln bench", argc, argv, kiln::bench); }
