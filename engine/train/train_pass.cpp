#include "engine/train/train_pass.h"

#include <algorithm>
#include <optional>

#include "engine/core/check.h"
#include "kernels/include/accumulate.h"

namespace kiln {
namespace {

// Multiply-adds of a slice's forward pass for each weight, from which on the second gradient buffer
// is worth its traffic: docs/decisions.md, "A thread trains its own pictures".
constexpr std::int64_t kMultipliesPerWeight = 16;

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

TrainPass::TrainPass(const ModelSpec& spec, const ParameterStore& parameters,
                     const Context& context, Conv2dProviders& providers,
                     const TrainPassOptions& options)
    : batch_size_(options.batch_size) {
  const auto plan = [&](const ParameterStore& store, const Context& c, std::int64_t count) {
    return std::make_unique<Network>(
        spec, store, c, providers,
        NetworkOptions{.batch_size = count,
                       .mean_over = options.mean_over == 0 ? batch_size_ : options.mean_over,
                       .label_smoothing = options.label_smoothing});
  };
  const int threads = context.pool().thread_count();
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
  gradients_ = parameters.flat_gradients();
}

TrainPass::~TrainPass() = default;
TrainPass::TrainPass(TrainPass&&) noexcept = default;

std::string TrainPass::description() const {
  if (whole_) return "by ops";
  return "by slices: " + std::to_string(slices_.size()) + " of up to " +
         std::to_string(slices_.back()->network->batch_size()) + " pictures";
}

const Network& TrainPass::network(std::size_t which) const {
  return whole_ ? *whole_ : *slices_.at(which)->network;
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

std::string TrainPass::first_layer_not_finite(Context& c) {
  if (whole_) return whole_->first_layer_not_finite(c);
  for (const auto& slice : slices_) {
    std::string layer = slice->network->first_layer_not_finite(slice->context);
    if (!layer.empty()) return layer;
  }
  return {};
}

}  // namespace kiln
