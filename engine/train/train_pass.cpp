#include "engine/train/train_pass.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/core/check.h"
#include "kernels/include/accumulate.h"

namespace kiln {
namespace {

// Multiply-adds of a slice's forward pass for each weight, from which on the second gradient buffer
// is worth its traffic: docs/decisions.md, "A thread trains its own pictures".
constexpr std::int64_t kMultipliesPerWeight = 16;
// Pictures of an exact slice at least: docs/decisions.md, "Exact slices".
constexpr std::int64_t kExactSlice = 4;

bool picture_stands_alone(const std::vector<LayerSpec>& layers) {
  return std::ranges::all_of(layers, [](const LayerSpec& layer) {
    return layer.kind != LayerKind::batch_norm && layer.kind != LayerKind::dropout &&
           picture_stands_alone(layer.body) && picture_stands_alone(layer.shortcut);
  });
}

std::int64_t multiplies_per_picture(const ModelSpec& spec) {
  std::int64_t sum = 0;
  Shape shape{1, spec.height, spec.width, spec.channels};
  for (const LayerSpec& layer : spec.layers) {
    sum += multiply_count(layer, shape);
    shape = output_shape(layer, shape);
  }
  return sum;
}

std::int64_t weight_count(const ModelSpec& spec) {
  return ParameterStore(spec, DType::f32, Device{}).trainable_count();
}

}  // namespace

bool wants_slices(const ModelSpec& spec, std::int64_t batch_size, int thread_count) {
  if (thread_count < 2 || batch_size < thread_count || !picture_stands_alone(spec.layers))
    return false;
  return batch_size / thread_count * multiplies_per_picture(spec) >=
         kMultipliesPerWeight * weight_count(spec);
}

std::int64_t exact_slice_size(const ModelSpec& spec, const ParameterStore& parameters,
                              const Context& context) {
  if (!context.deterministic() || !context.device().is_host() || parameters.dtype() != DType::f32 ||
      parameters.narrow_gradients() || !picture_stands_alone(spec.layers))
    return 0;
  const std::int64_t multiplies = std::max<std::int64_t>(1, multiplies_per_picture(spec));
  const std::int64_t wanted = kMultipliesPerWeight * parameters.trainable_count();
  return std::max(kExactSlice, (wanted + multiplies - 1) / multiplies);
}

// One thread's share of the batch.
struct TrainPass::Slice {
  Slice(const Context& whole, std::int64_t first_picture)
      : first(first_picture), context(whole.device(), pool, whole.log()) {}

  std::int64_t first;  // picture of the batch
  ThreadPool pool{1};
  Context context;
  std::optional<ParameterStore> own;  // gradients of its own; slice 0 writes those of the store
  std::unique_ptr<Network> network;
  BatchResult result;
};

struct TrainPass::Exact {
  // What a thread takes slices with. One thread has a slice to itself however many there are, so
  // its sums need no cuts of a fixed number.
  struct Worker {
    explicit Worker(const Context& whole) : context(whole.device(), pool, whole.log()) {}
    ThreadPool pool{1};
    Context context;
    std::optional<ParameterStore> own;
    std::unique_ptr<Network> full, last;  // of a whole slice, and of the batch's last
    std::string not_finite;               // the first layer to blame in this run
  };

  void run(Context& c, std::span<const std::uint8_t> images, std::span<const std::int32_t> labels,
           const Normalisation& normalisation);

  std::int64_t slice_size = 0;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<BatchResult> results;  // by slice
  std::optional<ExactSum> own_sum;
  ExactSum* sum = nullptr;
};

void TrainPass::Exact::run(Context& c, std::span<const std::uint8_t> images,
                           std::span<const std::int32_t> labels,
                           const Normalisation& normalisation) {
  for (const auto& worker : workers) worker->not_finite.clear();
  const std::size_t picture_bytes = images.size() / labels.size();
  c.pool().parallel_for_threads(static_cast<std::int64_t>(results.size()), [&](std::int64_t slice,
                                                                               int thread) {
    Worker& worker = *workers[static_cast<std::size_t>(thread)];
    const auto first = static_cast<std::size_t>(slice * slice_size);
    const std::size_t count = std::min(static_cast<std::size_t>(slice_size), labels.size() - first);
    const bool whole = count == static_cast<std::size_t>(slice_size);
    Network& network = whole ? *worker.full : *worker.last;
    worker.context.mode = c.mode;
    worker.context.counter = c.counter;
    network.set_input(worker.context, images.subspan(first * picture_bytes, count * picture_bytes),
                      labels.subspan(first, count), normalisation);
    network.forward(worker.context);
    BatchResult& result = results[static_cast<std::size_t>(slice)];
    result = network.loss(worker.context);
    network.backward(worker.context);
    sum->add(worker.context, thread, worker.own->flat_gradients());
    if (!std::isfinite(result.loss_sum) && worker.not_finite.empty())
      worker.not_finite = network.first_layer_not_finite(worker.context);
  });
}

TrainPass::TrainPass(const ModelSpec& spec, const ParameterStore& parameters,
                     const Context& context, Conv2dProviders& providers,
                     const TrainPassOptions& options)
    : batch_size_(options.batch_size) {
  const auto plan = [&](const ParameterStore& store, const Context& c, std::int64_t count) {
    return std::make_unique<Network>(
        spec, store, c, providers,
        NetworkOptions{.batch_size = count,
                       .mean_over = options.mean_over == 0 ? batch_size_ : options.mean_over,
                       .label_smoothing = options.label_smoothing,
                       .paused = options.paused});
  };
  const int threads = context.pool().thread_count();
  gradients_ = parameters.flat_gradients();
  if (const std::int64_t size = exact_slice_size(spec, parameters, context); size > 0) {
    exact_ = std::make_unique<Exact>();
    exact_->slice_size = size;
    exact_->results.resize(static_cast<std::size_t>((batch_size_ + size - 1) / size));
    if (options.exact == nullptr) exact_->own_sum.emplace(parameters, threads);
    exact_->sum = options.exact == nullptr ? &*exact_->own_sum : options.exact;
    for (int i = 0; i < threads; ++i) {
      auto worker = std::make_unique<Exact::Worker>(context);
      worker->own = parameters.with_own_gradients();
      if (batch_size_ >= size) worker->full = plan(*worker->own, worker->context, size);
      if (batch_size_ % size > 0)
        worker->last = plan(*worker->own, worker->context, batch_size_ % size);
      exact_->workers.push_back(std::move(worker));
    }
    return;
  }
  if (!context.device().is_host() || context.deterministic() ||
      !wants_slices(spec, batch_size_, threads)) {
    whole_ = plan(parameters, context, batch_size_);
    return;
  }
  for (std::int64_t i = 0; i < threads; ++i) {
    const std::int64_t first = i * batch_size_ / threads, end = (i + 1) * batch_size_ / threads;
    slices_.push_back(std::make_unique<Slice>(context, first));
    Slice& slice = *slices_.back();
    if (i > 0) slice.own = parameters.with_own_gradients();
    slice.network = plan(slice.own ? *slice.own : parameters, slice.context, end - first);
  }
}

TrainPass::~TrainPass() = default;
TrainPass::TrainPass(TrainPass&&) noexcept = default;

std::string TrainPass::description() const {
  if (whole_) return "by ops";
  if (exact_) return "by exact slices of " + std::to_string(exact_->slice_size) + " pictures";
  return "by slices: " + std::to_string(slices_.size()) + " of up to " +
         std::to_string(slices_.back()->network->batch_size()) + " pictures";
}

std::size_t TrainPass::network_count() const {
  if (whole_) return 1;
  if (!exact_) return slices_.size();
  const Exact::Worker& worker = *exact_->workers.front();
  return exact_->workers.size() * (worker.full && worker.last ? 2 : 1);
}

const Network& TrainPass::network(std::size_t which) const {
  if (whole_) return *whole_;
  if (!exact_) return *slices_.at(which)->network;
  const std::size_t count = exact_->workers.size();
  const Exact::Worker& worker = *exact_->workers.at(which % count);
  return which < count && worker.full ? *worker.full : *worker.last;
}

BatchResult TrainPass::run(Context& c, std::span<const std::uint8_t> images,
                           std::span<const std::int32_t> labels,
                           const Normalisation& normalisation) {
  const BatchResult result = run_apart(c, images, labels, normalisation);
  if (!rest().empty()) accumulate(c, {.x = rest(), .y = gradients_});
  return result;
}

Tensor TrainPass::rest() const {
  return slices_.size() < 2 ? Tensor{} : slices_.back()->own->flat_gradients();
}

BatchResult TrainPass::run_apart(Context& c, std::span<const std::uint8_t> images,
                                 std::span<const std::int32_t> labels,
                                 const Normalisation& normalisation) {
  if (exact_) return run_exact(c, images, labels, normalisation);
  if (!whole_) return run_slices(c, images, labels, normalisation);
  whole_->set_input(c, images, labels, normalisation);
  whole_->forward(c);
  const BatchResult result = whole_->loss(c);
  whole_->backward(c);
  return result;
}

void TrainPass::run_loaded(Context& c) {
  KILN_CHECK(whole_ != nullptr);
  whole_->forward(c);
  whole_->score(c);
  whole_->backward(c);
}

BatchResult TrainPass::run_slices(Context& c, std::span<const std::uint8_t> images,
                                  std::span<const std::int32_t> labels,
                                  const Normalisation& normalisation) {
  const std::size_t picture_bytes = images.size() / labels.size();
  c.pool().parallel_for(static_cast<std::int64_t>(slices_.size()), [&](std::int64_t i) {
    Slice& slice = *slices_[static_cast<std::size_t>(i)];
    const auto first = static_cast<std::size_t>(slice.first);
    const auto count = static_cast<std::size_t>(slice.network->batch_size());
    slice.context.mode = c.mode;
    slice.context.counter = c.counter;
    slice.network->set_input(slice.context,
                             images.subspan(first * picture_bytes, count * picture_bytes),
                             labels.subspan(first, count), normalisation);
    slice.network->forward(slice.context);
    slice.result = slice.network->loss(slice.context);
    slice.network->backward(slice.context);
  });
  BatchResult total;
  for (const auto& slice : slices_) {
    total.loss_sum += slice->result.loss_sum;
    total.hit_count += slice->result.hit_count;
    if (slice->own && slice != slices_.back())
      accumulate(c, {.x = slice->own->flat_gradients(), .y = gradients_});
  }
  return total;
}

BatchResult TrainPass::run_exact(Context& c, std::span<const std::uint8_t> images,
                                 std::span<const std::int32_t> labels,
                                 const Normalisation& normalisation) {
  if (exact_->own_sum) exact_->sum->clear();
  exact_->run(c, images, labels, normalisation);
  if (exact_->own_sum) {
    exact_->sum->add_threads(c);
    exact_->sum->write(c, gradients_);
  }
  BatchResult total;
  for (const BatchResult& result : exact_->results) {
    total.loss_sum += result.loss_sum;
    total.hit_count += result.hit_count;
  }
  return total;
}

std::string TrainPass::first_layer_not_finite(Context& c) {
  if (whole_) return whole_->first_layer_not_finite(c);
  if (exact_) {
    for (const auto& worker : exact_->workers)
      if (!worker->not_finite.empty()) return worker->not_finite;
    return {};
  }
  for (const auto& slice : slices_) {
    std::string layer = slice->network->first_layer_not_finite(slice->context);
    if (!layer.empty()) return layer;
  }
  return {};
}

}  // namespace kiln
