// DeviceStep: a training step that stays on the device. The data set's bytes, the order and the
// rates of the epoch and the counters (StepState) lie in its memory; a step gathers its own batch,
// trains on it, writes down what it scored and moves the counters on. So the next step is queued
// with the very same arguments: the steps of a pass are captured into one graph and launched again.
//
// The host runs ahead of the device by up to kLag steps. What the steps scored comes to it eight at
// a time, by copies that nobody waits for. Where a loss is not finite the device stands still by
// itself: no later step changes a weight, whatever is queued.
//
//   load_batch   forward   softmax_xent   backward   record_loss   optimizer   step_advance
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "engine/core/augmentation.h"
#include "engine/core/buffer.h"
#include "engine/core/graph.h"
#include "engine/data/dataset.h"
#include "engine/data/normalisation.h"
#include "engine/train/optimizer.h"
#include "engine/train/train_pass.h"
#include "kernels/include/record_loss.h"
#include "kernels/include/step_state.h"

namespace kiln {

struct DeviceStepOptions {
  std::int64_t batch_size = 64;
  std::int64_t batch_count = 1;  // of an epoch
  Augmentation augmentation;
  Normalisation normalisation;
  bool graph = true;  // false: every op is queued anew in every step
};

class DeviceStep {
 public:
  // Steps that may be queued and not yet told of.
  static constexpr std::uint64_t kLag = 16;

  // Sends the data set; throws Error (io) where there is no room for it. All references must
  // outlive this; the context is not one of the CPU.
  DeviceStep(const Dataset& train, Optimizer& optimizer, Context& context,
             const DeviceStepOptions& options);
  ~DeviceStep();
  DeviceStep(const DeviceStep&) = delete;
  DeviceStep& operator=(const DeviceStep&) = delete;

  // "58 MiB of pictures on cuda:0, one graph a step"; for the log.
  std::string description() const;

  // Goes on at `place`, whose rates are taken from `rates`, one for every batch of the epoch.
  // `order` is a permutation of the data set. All steps must have been told of.
  void start_epoch(const StepState& place, std::span<const std::int64_t> order,
                   std::span<const StepRates> rates);

  // Queues the next step; not when full(). A pass's first step is queued op by op, since libraries
  // may load code then; from the second on it is a graph.
  // `groups`: as Optimizer::step takes them; the rates are those of the epoch, and a pass has the
  // same active groups in all of its steps.
  void queue(TrainPass& pass, std::span<const GroupStep> groups = {});
  bool full() const { return queued_ - told_ >= kLag; }

  // What the oldest step scored that was not told of, if it is known by now; waits only when full.
  std::optional<StepLoss> finished();
  // The same, waiting for it; empty when all steps have been told of.
  std::optional<StepLoss> wait();

 private:
  // The log is fetched in two halves, each with an event of its own.
  static constexpr std::uint64_t kPage = kLag / 2;
  struct Program {
    bool ran = false;
    std::optional<Graph> graph;
  };

  void run(TrainPass& pass, std::span<const GroupStep> groups);
  void load(TrainPass& pass);
  void fetch_log();
  Event& event_of(std::uint64_t step) { return events_[step / kPage % 2]; }
  StepLoss take();
  template <class T>
  T* at(const Buffer& buffer) const {
    return reinterpret_cast<T*>(buffer.data());
  }

  Optimizer& optimizer_;
  Context& context_;
  const DeviceStepOptions options_;
  Shape pictures_shape_;
  Buffer pictures_, labels_, order_, rates_, state_, log_;
  PinnedBuffer fetched_;
  std::array<Event, 2> events_;
  std::map<const TrainPass*, Program> programs_;
  // Steps since the start of training: the next one to queue, to fetch and to tell of.
  std::uint64_t queued_ = 0, fetched_to_ = 0, told_ = 0;
};

}  // namespace kiln
