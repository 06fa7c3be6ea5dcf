#include "engine/train/step_gradients.h"

#include <cstring>

#include "kernels/include/accumulate.h"

namespace kiln {

StepGradients::StepGradients(const ParameterStore& parameters, const Context& context,
                             const StepGradientsOptions& options)
    : parameters_(parameters) {
  const Tensor gradients = parameters.flat_gradients();
  if (options.exact)
    exact_.emplace(parameters, context.pool().thread_count());
  else if (options.accumulates)
    earlier_ = Buffer(Device{}, gradients.size_bytes());
  if (options.communicator != nullptr)
    reducer_.emplace(*options.communicator, parameters, exact_ ? exact_->total() : gradients,
                     options.reducer);
}

Tensor StepGradients::earlier() const {
  const Tensor gradients = parameters_.flat_gradients();
  return {earlier_.data(), gradients.shape(), gradients.dtype(), Device{}};
}

void StepGradients::begin(Context& c) {
  added_ = 0;
  rest_ = {};
  if (exact_) exact_->clear();
  if (reducer_) reducer_->begin(c);
}

BatchResult StepGradients::add(Context& c, TrainPass& pass, const MicroBatch& batch,
                               const Normalisation& normalisation, bool last) {
  const bool first = added_++ == 0;
  if (exact_) return pass.run(c, batch.images, batch.labels, normalisation);
  if (last && first && !reducer_) {
    const BatchResult result = pass.run_apart(c, batch.images, batch.labels, normalisation);
    rest_ = pass.rest();
    return result;
  }
  if (last && !first && reducer_) reducer_->add_earlier(earlier());
  if (last && !first && !reducer_) rest_ = earlier();
  if (last && reducer_) c.backward_listener = &*reducer_;
  const BatchResult result = pass.run(c, batch.images, batch.labels, normalisation);
  c.backward_listener = nullptr;
  const Tensor gradients = parameters_.flat_gradients();
  if (!last && first) std::memcpy(earlier_.data(), gradients.raw(), gradients.size_bytes());
  if (!last && !first) accumulate(c, {.x = gradients, .y = earlier()});
  return result;
}

void StepGradients::finish(Context& c, std::span<double> sums) {
  const Tensor gradients = parameters_.flat_gradients();
  if (exact_) exact_->add_threads(c);
  if (!exact_ && added_ == 0) std::memset(gradients.raw(), 0, gradients.size_bytes());
  if (reducer_) reducer_->finish(sums);
  if (exact_) exact_->write(c, gradients);
}

}  // namespace kiln
