// The ranks of a run: which of the ways to have them a command line and its surroundings ask for,
// and starting this program again, once for each.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/common/signals.h"
#include "apps/train/flags.h"
#include "engine/comm/launch.h"
#include "engine/core/log.h"

namespace kiln {

enum class RankWay {
  alone,
  launched,           // this process is one of several
  threads,            // of this process
  tcp,                // this program starts itself
  mpirun_or_threads,  // as can_mpirun() says
};

// Throws Error (usage) where flags contradict each other or the launcher.
RankWay way_of_ranks(const TrainFlags& flags, const RankEnvironment& place);

// Whether this process, one of several that a launcher has started, reaches the others over TCP.
// Throws Error (usage).
bool meets_over_tcp(const TrainFlags& flags, const RankEnvironment& place);

// Whether Open MPI is there; why not is logged. Throws Error (unsupported) where threads would not
// be what was asked for.
bool can_mpirun(const TrainFlags& flags, Log& log);

// Start the ranks and wait for them. Return the exit code. Throw Error.
int launch_here(const TrainFlags& flags, const std::vector<std::string>& command_line,
                SignalWatch& signals);
int launch_mpirun(const TrainFlags& flags, const std::vector<std::string>& command_line,
                  SignalWatch& signals);

// mpirun starts this program again, with this command line, once for each of flags.ranks on
// flags.hosts; `variables` and `more` are those of LaunchOptions, `wish` is run_launcher()'s.
// Returns mpirun's exit code. Throws Error.
struct RankLaunch {
  std::vector<std::string> variables, more;
  std::function<LaunchWish()> wish;
};
int launch_ranks(const TrainFlags& flags, const std::vector<std::string>& command_line,
                 RankLaunch launch);

// For a process that ends with an error. One of several ranks waits for a moment: a launcher ends
// all when one has ended so, and the others are to say first which rank is lost.
void let_other_ranks_speak();

}  // namespace kiln
