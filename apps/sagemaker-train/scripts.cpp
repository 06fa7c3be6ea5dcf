#include "apps/sagemaker-train/scripts.h"

#include <array>
#include <string>

#include "engine/core/error.h"

namespace kiln::sagemaker {
namespace {

constexpr std::string_view kMnist = "mnist.py";

constexpr std::array<Script, 6> kScripts = {{
    {.program = "train.py",
     .story = Story::classic,
     .mended = "train.py told no loss where an epoch has fewer than 2,000 batches; here an epoch's "
               "last batch tells it"},
    {.program = "train_spot.py",
     .story = Story::spot,
     .mended = "train_spot.py wrote its checkpoint over the last one and began a resumed epoch in "
               "another order; here a kill loses no checkpoint and a resumed run goes on bit for "
               "bit"},
    {.program = "train_horovod.py",
     .story = Story::horovod,
     .scales_rate = true,
     .mended = "train_horovod.py took the likelihood of numbers that were no probabilities, hence "
               "negative losses; here the loss is the cross-entropy"},
    {.program = "train_ddp.py",
     .story = Story::ddp,
     .splits_batch = true,
     .mended = "train_ddp.py divided the hits of one process by all test pictures; here every "
               "test picture is counted once"},
    {.program = "cifar10.py",
     .story = Story::classic,
     .mended = "cifar10.py let every host train alone; here all hosts train one model"},
    {.program = kMnist,
     .story = Story::mnist,
     .mended = "mnist's train.py read --learning-rate and did not use it; here it is the rate of "
               "Adam"},
}};

}  // namespace

std::span<const Script> scripts() { return kScripts; }

const Script& find_script(std::string_view program, bool has_mnist) {
  const std::string whole(program);
  program.remove_prefix(program.rfind('/') + 1);  // npos + 1 is 0
  if (whole.empty()) program = kScripts.front().program;
  if (program == "train.py" && has_mnist) program = kMnist;
  std::string names;
  for (const Script& script : kScripts) {
    if (script.program == program) return script;
    names += (names.empty() ? "" : ", ") + std::string(script.program);
  }
  throw Error(ErrorKind::input, "sagemaker_program " + printable(whole),
              "is no script that this container stands for", "use one of " + names);
}

TrainFlags defaults_of(const Script& script) {
  TrainFlags f;
  f.epochs = 1;
  f.batch_size = 4;
  if (script.scales_rate) f.lr_scaling = "linear";
  f.global_batch = script.splits_batch;
  switch (script.story) {
    case Story::classic:
      if (script.program == "cifar10.py") f.epochs = 2;
      break;
    case Story::spot:
      f.epochs = 2;
      break;
    case Story::horovod:
      f.batch_size = 64;
      f.lr = 0.01;
      f.momentum = 0.5;
      f.seed = 42;
      f.log_interval = 10;
      break;
    case Story::ddp:
      f.batch_size = 64;
      f.lr = 0.01;
      f.optimizer = "adadelta";
      f.schedule = "step";
      f.seed = 42;
      f.log_interval = 10;
      break;
    case Story::mnist:
      f.model = "mnist";
      f.batch_size = 64;
      f.optimizer = "adam";
      f.weight_decay = 1e-4;
      f.log_interval = 100;
      break;
  }
  return f;
}

}  // namespace kiln::sagemaker
