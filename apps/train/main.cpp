// kiln train: flags in, model directory out.
#include "apps/common/app_main.h"
#include "apps/common/signals.h"
#include "apps/train/flags.h"
#include "apps/train/ranks.h"
#include "apps/train/run.h"

namespace {

int train(int argc, char** argv) {
  const kiln::TrainFlags flags = kiln::parse_train_flags(argc, argv);
  kiln::SignalWatch signals(SIGUSR1);  // what mpirun hands on to its processes
  return kiln::run_training(flags, {argv, argv + argc}, signals);
}

}  // namespace

int main(int argc, char** argv) {
  const int code = kiln::run_app("kiln train", argc, argv, train);
  if (code != 0) kiln::let_other_ranks_speak();
  return code;
}
