#include "engine/train/gradient_reducer.h"

#include <algorithm>
#include <cstdio>

#include "engine/core/check.h"
#include "kernels/include/accumulate.h"

namespace kiln {
namespace {

// A parameter is named after its layer: "conv1.weight".
std::string layer_of(const Parameter& parameter) {
  return parameter.name.substr(0, parameter.name.rfind('.'));
}

BucketPlan plan_of(const ParameterStore& parameters, const BucketOptions& options) {
  const Tensor flat = parameters.flat_gradients();
  const auto element_bytes = static_cast<std::int64_t>(size_of(flat.dtype()));
  std::vector<GradientPiece> pieces;
  for (const Parameter& p : parameters.all()) {
    if (!p.trainable()) continue;
    const auto at = (static_cast<const std::byte*>(p.gradient.raw()) -
                     static_cast<const std::byte*>(flat.raw())) /
                    element_bytes;
    pieces.push_back({layer_of(p), at, at + p.gradient.element_count()});
  }
  std::ranges::sort(pieces, {}, &GradientPiece::first);
  return plan_buckets(pieces, flat.element_count(), options);
}

}  // namespace

GradientReducer::GradientReducer(Communicator& communicator, const ParameterStore& parameters,
                                 const Tensor& gradients, const ReducerOptions& options)
    : communicator_(communicator),
      gradients_(gradients),
      plan_(plan_of(parameters, options.buckets)),
      overlap_(options.buckets.overlap == Overlap::automatic
                   ? communicator.overlap_pays()
                   : options.buckets.overlap == Overlap::on),
      missing_(plan_.buckets.size()),
      reductions_(plan_.buckets.size()) {
  if (options.wire == Wire::bf16) {
    if (gradients.dtype() != DType::f32)
      throw Error(ErrorKind::usage, "--wire bf16",
                  "cannot carry gradients of type " + std::string(name_of(gradients.dtype())),
                  "leave --wire out, or --deterministic, whose exact sums are f64");
    wire_.emplace(communicator, std::ranges::max(plan_.buckets, {}, &Bucket::count).count());
    overlap_ = false;
  }
  KILN_CHECK(plan_.buckets.size() < Communicator::kMostReductions);
}

std::string GradientReducer::description() const {
  const auto [least, most] = std::ranges::minmax(plan_.buckets, {}, &Bucket::count);
  const auto mebibytes = [&](const Bucket& bucket) {
    return static_cast<double>(bucket.count()) * static_cast<double>(size_of(gradients_.dtype())) /
           (1 << 20);
  };
  char text[120];
  std::snprintf(text, sizeof text, "%zu bucket%s of %.2f to %.2f MiB, %s%s", plan_.buckets.size(),
                plan_.buckets.size() == 1 ? "" : "s", mebibytes(least), mebibytes(most),
                wire_ ? "sent as bf16 " : "",
                overlap_ ? "while backward goes on" : "behind backward");
  return text;
}

void GradientReducer::begin(Context& c) {
  context_ = &c;
  earlier_ = {};
  for (std::size_t b = 0; b < missing_.size(); ++b) missing_[b] = plan_.buckets[b].layer_count;
  started_ = done_ = 0;
}

void GradientReducer::layer_done(std::string_view layer) {
  if (!overlap_) return;
  if (const auto* entry = find_layer(plan_, layer)) {
    for (const int b : entry->buckets) --missing_[static_cast<std::size_t>(b)];
    start_ready();
  }
  progress();
}

// All but the last bucket, behind which there is nothing to compute.
void GradientReducer::start_ready() {
  for (; started_ + 1 < missing_.size() && missing_[started_] <= 0; ++started_) {
    prepare(plan_.buckets[started_]);
    reductions_[started_] = communicator_.start_all_reduce(elements_of(plan_.buckets[started_]));
  }
}

void GradientReducer::reduce(const Bucket& bucket) {
  const comm::Elements values = elements_of(bucket);
  if (!wire_) return communicator_.all_reduce(values);
  wire_->all_reduce({static_cast<float*>(values.data), static_cast<std::size_t>(values.count)});
}

void GradientReducer::prepare(const Bucket& bucket) {
  if (earlier_.empty()) return;
  const auto part = [&](const Tensor& flat) {
    const auto offset = static_cast<std::size_t>(bucket.first) * size_of(flat.dtype());
    return Tensor(static_cast<std::byte*>(flat.raw()) + offset, Shape{bucket.count()}, flat.dtype(),
                  flat.device());
  };
  accumulate(*context_, {.x = part(earlier_), .y = part(gradients_)});
}

// MPI moves messages inside its calls alone: without this nothing overlaps.
void GradientReducer::progress() {
  while (done_ < started_ && reductions_[done_].test()) ++done_;
}

void GradientReducer::finish(std::span<double> sums) {
  if (overlap_) {
    std::ranges::fill(missing_, 0);
    start_ready();
  }
  Reduction sum = communicator_.start_all_reduce(sums);
  // Nothing is left to compute beside these.
  for (std::size_t b = started_; b < plan_.buckets.size(); ++b) {
    prepare(plan_.buckets[b]);
    reduce(plan_.buckets[b]);
  }
  for (; done_ < started_; ++done_) reductions_[done_].wait();
  sum.wait();
}

comm::Elements GradientReducer::elements_of(const Bucket& bucket) const {
  const auto offset = static_cast<std::size_t>(bucket.first) * size_of(gradients_.dtype());
  return {static_cast<std::byte*>(gradients_.raw()) + offset, bucket.count(), gradients_.dtype()};
}

}  // namespace kiln
