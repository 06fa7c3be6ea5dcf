// The training scripts that a job may name as its program, as settings of kiln train. None of them
// is run: each is a way of training, with its defaults and the lines that its log has.
#pragma once

#include <span>
#include <string_view>

#include "apps/train/flags.h"

namespace kiln::sagemaker {

// Which lines a run prints (narrator.h).
enum class Story { classic, spot, horovod, ddp, mnist };

struct Script {
  std::string_view program;
  Story story;
  bool scales_rate = false;   // the rate grows with the number of processes
  bool splits_batch = false;  // batch-size is that of all processes together
  // What the script did in silence, and what is done here instead; empty: nothing to say.
  std::string_view mended;
};

std::span<const Script> scripts();

// The script called `program`; an empty one means train.py, which is MNIST's where the channels
// hold that: the two scripts have one name. Throws Error (input) for others.
const Script& find_script(std::string_view program, bool has_mnist);

// Its own defaults.
TrainFlags defaults_of(const Script& script);

}  // namespace kiln::sagemaker
