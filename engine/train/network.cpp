#include "engine/train/network.h"

#include <cstring>

#include "engine/core/check.h"
#include "engine/core/transfer.h"
#include "engine/train/build_layers.h"
#include "engine/train/finite.h"
#include "engine/train/input_scale.h"
#include "kernels/include/cast.h"
#include "kernels/include/normalize_image.h"
#include "kernels/include/softmax_xent.h"

namespace kiln {

Network::Network(const ModelSpec& spec, const ParameterStore& parameters, const Context& context,
                 Conv2dProviders& providers, const NetworkOptions& options)
    : options_(options) {
  if (options_.mean_over == 0) options_.mean_over = options_.batch_size;
  const Shape input{options.batch_size, spec.height, spec.width, spec.channels};
  chain_ = build_chain(spec.name, spec.layers, input, parameters, providers,
                       {.fuse = options.fuse,
                        .on_host = context.device().is_host(),
                        .batch_size = options.batch_size,
                        .paused = options_.paused});
  loss_scale_ = parameters.loss_scale();
  const DType storage = parameters.storage(), wide = accumulation_type(storage);
  Planner p(storage, &context);
  x_ = p.define("input", input);
  labels_ = p.define("labels", {options.batch_size}, DType::i32);
  for (const Slot slot : {x_, labels_}) p.pin(slot);
  if (!context.device().is_host()) {
    pictures_ = p.define("pictures", input, DType::u8);
    p.pin(pictures_);
  }
  logits_ = chain_->plan_forward(p, x_);
  if (storage != wide) {
    narrow_logits_ = logits_;
    logits_ = p.define("logits", p.shape(narrow_logits_), wide);
    p.op({.name = "widen", .reads = {narrow_logits_}, .writes = {logits_}});
  }
  losses_ = p.define("loss", {options.batch_size}, wide);
  hits_ = p.define("hit", {options.batch_size}, DType::i32);
  for (const Slot slot : {logits_, losses_, hits_}) p.pin(slot);
  if (!options.training) {
    p.op({.name = "softmax_xent", .reads = {logits_, labels_}, .writes = {losses_, hits_}});
  } else {
    dlogits_ = p.define("dlogits", p.shape(logits_), wide);
    p.op({.name = "softmax_xent",
          .reads = {logits_, labels_},
          .writes = {losses_, hits_, dlogits_}});
    if (options.input_gradient) {
      dx_ = p.define("dinput", input);
      p.pin(dx_);
    }
    if (storage != wide) {
      narrow_dlogits_ = p.define("narrow_dlogits", p.shape(logits_));
      p.op({.name = "narrow", .reads = {dlogits_}, .writes = {narrow_dlogits_}});
    }
    chain_->plan_backward(p, narrow_dlogits_ ? narrow_dlogits_ : dlogits_, dx_,
                          options.input_gradient ? GradWrite::overwrite : GradWrite::skip);
  }
  memory_ = std::make_unique<Memory>(p.finish(options.arena), context.device());
  host_losses_.resize(losses().size_bytes());
  host_hits_.resize(static_cast<std::size_t>(options.batch_size));
}

void Network::set_input(Context& c, std::span<const std::uint8_t> images,
                        std::span<const std::int32_t> labels, const Normalisation& normalisation) {
  const Tensor x = input(), t = this->labels();
  KILN_CHECK(static_cast<std::int64_t>(labels.size()) == t.element_count());
  set_elements(t, labels);
  NormalizeImageArgs args{.x = Tensor(images, x.shape()), .y = x};
  if (pictures_) {
    args.x = (*memory_)[pictures_];
    set_elements(args.x, images);
  }
  set_input_scale(args, normalisation);
  normalize_image(c, args);
}

void Network::forward(Context& c) {
  chain_->forward(c, *memory_);
  if (narrow_logits_) cast(c, {.x = (*memory_)[narrow_logits_], .y = logits()});
}

void Network::score(Context& c) {
  softmax_xent(c, {.z = logits(),
                   .t = labels(),
                   .loss = losses(),
                   .hit = hits(),
                   .dz = dlogits_ ? (*memory_)[dlogits_] : Tensor{},
                   .loss_scale = dlogits_ ? loss_scale_ : Tensor{},
                   .label_smoothing = options_.label_smoothing,
                   .scale = 1.0 / static_cast<double>(options_.mean_over)});
}

BatchResult Network::loss(Context& c) {
  score(c);
  BatchResult result;
  copy_to_host(c.device(), host_losses_.data(), losses().raw(), host_losses_.size());
  copy_to_host(c.device(), host_hits_.data(), hits().raw(), hits().size_bytes());
  visit_float(losses().dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < host_hits_.size(); ++i) {
      T loss;
      std::memcpy(&loss, host_losses_.data() + i * sizeof loss, sizeof loss);
      result.loss_sum += static_cast<double>(loss);
    }
  });
  for (const std::int32_t hit : host_hits_) result.hit_count += hit;
  return result;
}

std::string Network::first_layer_not_finite(Context& c) {
  for (const auto& layer : chain_->layers()) {
    layer->forward(c, *memory_);
    if (!all_finite((*memory_)[layer->output()])) return layer->name();
  }
  return {};
}

void Network::backward(Context& c) {
  if (narrow_dlogits_) cast(c, {.x = (*memory_)[dlogits_], .y = (*memory_)[narrow_dlogits_]});
  chain_->backward(c, *memory_);
}

}  // namespace kiln
