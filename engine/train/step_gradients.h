// StepGradients: the gradient of one step, whatever it is made of: micro-batches one after the
// other, slices of a batch, the parts of several ranks.
//
//   begin, add for each micro-batch of this rank, finish, optimizer with rest()
//
// Every micro-batch on every rank divides its loss by the pictures of the whole step, so the sum is
// the gradient of the step's mean loss. Ranks add theirs once, while backward of the last
// micro-batch goes on or behind it. Exact slices are added in an ExactSum, whose bits depend on
// neither the cut into micro-batches nor the ranks.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "engine/comm/communicator.h"
#include "engine/train/exact_sum.h"
#include "engine/train/gradient_reducer.h"
#include "engine/train/parameters.h"
#include "engine/train/train_pass.h"

namespace kiln {

struct StepGradientsOptions {
  Communicator* communicator = nullptr;  // null: this rank alone
  ReducerOptions reducer;
  bool accumulates = false;  // a step may have several micro-batches
  bool exact = false;        // its passes work by exact slices
};

// One micro-batch's pictures.
struct MicroBatch {
  std::span<const std::uint8_t> images;
  std::span<const std::int32_t> labels;
};

class StepGradients {
 public:
  // All must outlive this object. Everything that a step needs is allocated here.
  StepGradients(const ParameterStore& parameters, const Context& context,
                const StepGradientsOptions& options);

  // What the passes of this object's steps are given; null where they are not by exact slices.
  ExactSum* exact() { return exact_ ? &*exact_ : nullptr; }
  const GradientReducer* reducer() const { return reducer_ ? &*reducer_ : nullptr; }

  void begin(Context& c);
  // Runs `pass`; `last`: this rank has no more of this step.
  BatchResult add(Context& c, TrainPass& pass, const MicroBatch& batch,
                  const Normalisation& normalisation, bool last);
  // Leaves the step's gradient in the store's gradients and rest(), equal on all ranks, and adds
  // `sums` up over them.
  void finish(Context& c, std::span<double> sums);
  // What the optimizer has to add to the store's gradients; empty where it is nothing.
  Tensor rest() const { return rest_; }
  std::int64_t added_count() const { return added_; }

 private:
  Tensor earlier() const;

  const ParameterStore& parameters_;
  Buffer earlier_;  // sum of the micro-batches before the last
  std::optional<ExactSum> exact_;
  std::optional<GradientReducer> reducer_;
  std::int64_t added_ = 0;
  Tensor rest_;
};

}  // namespace kiln
