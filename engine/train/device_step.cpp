#include "engine/train/device_step.h"

#include "engine/core/check.h"
#include "engine/core/transfer.h"
#include "engine/train/input_scale.h"
#include "kernels/include/load_batch.h"
#include "kernels/include/step_advance.h"

namespace kiln {
namespace {

Buffer sent(Device device, const void* bytes, std::size_t size_bytes) {
  Buffer buffer(device, size_bytes);
  copy_to_device(device, buffer.data(), bytes, size_bytes);
  return buffer;
}

// While one lives, the ops of a context read the numbers of their step from the device's memory.
class StateInContext {
 public:
  StateInContext(Context& context, const StepState* state) : context_(context) {
    context_.step_state = state;
  }
  ~StateInContext() { context_.step_state = nullptr; }
  StateInContext(const StateInContext&) = delete;
  StateInContext& operator=(const StateInContext&) = delete;

 private:
  Context& context_;
};

}  // namespace

DeviceStep::DeviceStep(const Dataset& train, Optimizer& optimizer, Context& context,
                       const DeviceStepOptions& options)
    : optimizer_(optimizer),
      context_(context),
      options_(options),
      pictures_shape_{train.size(), train.info().height, train.info().width, train.info().channels},
      pictures_(sent(context.device(), train.images().data(), train.images().size())),
      labels_(sent(context.device(), train.labels().data(), train.labels().size_bytes())),
      order_(context.device(), static_cast<std::size_t>(train.size()) * sizeof(std::int64_t)),
      rates_(context.device(), static_cast<std::size_t>(options.batch_count) * sizeof(StepRates)),
      state_(context.device(), sizeof(StepState)),
      log_(context.device(), kLag * sizeof(StepLoss)),
      fetched_(context.device(), kLag * sizeof(StepLoss)),
      events_{Event(context.device()), Event(context.device())} {}

// Copies into pinned memory may be under way.
DeviceStep::~DeviceStep() {
  try {
    context_.device().backend->synchronise(context_.device().index);
  } catch (...) {  // a device that fails here has failed before, and said so
  }
}

std::string DeviceStep::description() const {
  const auto mebibytes = (pictures_shape_.element_count() + (1 << 20) - 1) >> 20;
  return std::to_string(mebibytes) + " MiB of pictures on " + to_string(context_.device()) + ", " +
         (options_.graph ? "one graph a step" : "steps queued op by op");
}

void DeviceStep::start_epoch(const StepState& place, std::span<const std::int64_t> order,
                             std::span<const StepRates> rates) {
  KILN_CHECK(told_ == queued_);
  KILN_CHECK(static_cast<std::int64_t>(order.size()) == pictures_shape_[0]);
  KILN_CHECK(static_cast<std::int64_t>(rates.size()) == options_.batch_count);
  KILN_CHECK(place.batch < rates.size());
  KILN_CHECK(static_cast<std::int64_t>(place.step) == optimizer_.step_count());
  StepState state = place;
  state.rates = rates[place.batch];
  const Device device = context_.device();
  copy_to_device(device, order_.data(), order.data(), order.size_bytes());
  copy_to_device(device, rates_.data(), rates.data(), rates.size_bytes());
  copy_to_device(device, state_.data(), &state, sizeof state);
  queued_ = fetched_to_ = told_ = place.step;
}

void DeviceStep::queue(TrainPass& pass, std::span<const GroupStep> groups) {
  KILN_CHECK(!full());
  Program& program = programs_[&pass];
  if (options_.graph && program.ran) {
    if (!program.graph)
      program.graph = Graph::capture(context_.device(), [&] { run(pass, groups); });
    program.graph->launch();
  } else {
    run(pass, groups);
    program.ran = true;
  }
  ++queued_;
  optimizer_.set_step_count(static_cast<std::int64_t>(queued_));  // a graph does not count it
  if (queued_ % kPage == 0) fetch_log();
}

// Queues a step op by op. Its arguments are the same in every step.
void DeviceStep::run(TrainPass& pass, std::span<const GroupStep> groups) {
  const StateInContext reading(context_, at<StepState>(state_));
  load(pass);
  pass.run_loaded(context_);
  record_loss(context_, {.loss = pass.network(0).losses(),
                         .hit = pass.network(0).hits(),
                         .state = at<StepState>(state_),
                         .log = at<StepLoss>(log_),
                         .log_size = static_cast<std::int64_t>(kLag)});
  optimizer_.step(context_, 0, {}, groups);  // the rates are the state's
  step_advance(context_, {.state = at<StepState>(state_),
                          .table = at<StepRates>(rates_),
                          .count = options_.batch_count});
}

void DeviceStep::load(TrainPass& pass) {
  const Device device = context_.device();
  const Shape samples{pictures_shape_[0]};
  LoadBatchArgs args{.pictures = {pictures_.data(), pictures_shape_, DType::u8, device},
                     .labels = {labels_.data(), samples, DType::i32, device},
                     .order = {order_.data(), samples, DType::i64, device},
                     .x = pass.network(0).input(),
                     .t = pass.network(0).labels(),
                     .state = at<StepState>(state_),
                     .batch_size = options_.batch_size,
                     .augmentation = options_.augmentation};
  set_input_scale(args, options_.normalisation);
  load_batch(context_, args);
}

// Steps fetched_to_ to queued_ - 1, which lie in one half of the log.
void DeviceStep::fetch_log() {
  const Device device = context_.device();
  const std::uint64_t first = fetched_to_ % kLag, count = queued_ - fetched_to_;
  KILN_CHECK(count > 0 && fetched_to_ / kPage == (queued_ - 1) / kPage);
  device.backend->queue_copy_to_host(device.index, static_cast<StepLoss*>(fetched_.data()) + first,
                                     at<StepLoss>(log_) + first, count * sizeof(StepLoss));
  event_of(fetched_to_).record();
  fetched_to_ = queued_;
}

std::optional<StepLoss> DeviceStep::finished() {
  if (told_ == fetched_to_) return {};
  if (!full() && !event_of(told_).done()) return {};
  return take();
}

std::optional<StepLoss> DeviceStep::wait() {
  if (told_ == queued_) return {};
  if (told_ == fetched_to_) fetch_log();
  return take();
}

StepLoss DeviceStep::take() {
  event_of(told_).wait();
  const StepLoss loss = static_cast<const StepLoss*>(fetched_.data())[told_ % kLag];
  ++told_;
  return loss;
}

}  // namespace kiln
