// One way of cuDNN to compute a convolution, and which ways are fit for a problem.
#pragma once

#include <string>
#include <vector>

#include "kernels/cudnn/conv_problem.h"

namespace kiln::cudnn {

// What cuDNN notes about the numbers that a plan makes.
struct PlanNotes {
  bool tensor_core = false;
  bool rounds_inputs = false;  // to a narrower type
  bool narrow_sums = false;    // sums in less than f32
  bool nondeterministic = false;
  bool operator==(const PlanNotes&) const = default;
};

struct ConvPlan {
  std::string name;  // of its engine and knobs, such as "eng34_k2=5_k13=1"
  int place = 0;     // in the list of the heuristics, unfit plans counted
  PlanNotes notes;
};

// No plan rounds inputs down or sums in less than f32; f32 is multiplied as f32, not on tensor
// cores, unless the problem says tf32; a deterministic problem takes deterministic plans only.
bool is_fit(const PlanNotes& notes, const ConvProblem& problem);

// The fit ones, each name once, in the order given.
std::vector<ConvPlan> fit_plans(const std::vector<ConvPlan>& plans, const ConvProblem& problem);

}  // namespace kiln::cudnn
