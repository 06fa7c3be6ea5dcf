#include "kernels/cudnn/conv_plan.h"

#include <set>

namespace kiln::cudnn {

bool is_fit(const PlanNotes& notes, const ConvProblem& problem) {
  if (notes.rounds_inputs || notes.narrow_sums) return false;
  if (problem.deterministic && notes.nondeterministic) return false;
  const bool exact_f32 = problem.dtype == DType::f32 && problem.math == FloatMath::fp32;
  return !(exact_f32 && notes.tensor_core);
}

std::vector<ConvPlan> fit_plans(const std::vector<ConvPlan>& plans, const ConvProblem& problem) {
  std::set<std::string> seen;
  std::vector<ConvPlan> fit;
  for (const ConvPlan& plan : plans)
    if (is_fit(plan.notes, problem) && seen.insert(plan.name).second) fit.push_back(plan);
  return fit;
}

}  // namespace kiln::cudnn
