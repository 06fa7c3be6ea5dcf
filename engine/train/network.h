// Network: a ModelSpec turned into layers and planned for one batch size.
//
// Several networks (the full batch, an epoch's last batch, evaluation) share one ParameterStore.
// After construction nothing allocates: a step writes into planned memory only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/memory.h"
#include "engine/data/normalisation.h"
#include "engine/train/chain.h"
#include "engine/train/parameters.h"
#include "kernels/include/conv2d_provider.h"
#include "models/spec.h"

namespace kiln {

struct NetworkOptions {
  std::int64_t batch_size = 64;
  std::int64_t mean_over = 0;   // pictures that the loss is the mean of; 0: those of this network
  bool training = true;         // false: forward only, activations share more memory
  bool fuse = true;             // false: one layer per spec entry, for tests
  bool input_gradient = false;  // also compute dL/dx of the input, for tests
  double label_smoothing = 0.0;
  std::vector<std::string> paused = {};  // parameters whose gradients nobody wants
  ArenaOptions arena = {};
};

// What one batch scored.
struct BatchResult {
  double loss_sum = 0.0;  // nats, summed over the batch
  std::int64_t hit_count = 0;
};

class Network {
 public:
  // `context` and `parameters` must outlive the network.
  Network(const ModelSpec& spec, const ParameterStore& parameters, const Context& context,
          Conv2dProviders& providers, const NetworkOptions& options);

  std::int64_t batch_size() const { return options_.batch_size; }
  const Chain& chain() const { return *chain_; }
  const Memory& memory() const { return *memory_; }

  // Pictures u8 [batch_size, H, W, C] become the input x; labels are copied.
  void set_input(Context& c, std::span<const std::uint8_t> images,
                 std::span<const std::int32_t> labels, const Normalisation& normalisation);

  Tensor input() const { return (*memory_)[x_]; }            // [N, H, W, C]
  Tensor labels() const { return (*memory_)[labels_]; }      // i32 [N]
  Tensor logits() const { return (*memory_)[logits_]; }      // [N, K]
  Tensor losses() const { return (*memory_)[losses_]; }      // [N]
  Tensor hits() const { return (*memory_)[hits_]; }          // i32 [N]
  Tensor input_gradient() const { return (*memory_)[dx_]; }  // [N, H, W, C]

  // c.mode chooses what dropout and batch normalisation do.
  void forward(Context& c);
  // Cross-entropy of the logits; in a training network also its gradient, of the mean
  // over options.mean_over pictures.
  BatchResult loss(Context& c);
  // The same; losses() and hits() are left where they lie, so on a device nothing waits.
  void score(Context& c);
  // Overwrites every parameter gradient that is wanted. After loss() or score().
  void backward(Context& c);

  // Runs forward once more, layer by layer, and names the first layer whose output holds a NaN or
  // an infinity; empty when all are finite. For explaining a loss that is not finite.
  std::string first_layer_not_finite(Context& c);

 private:
  NetworkOptions options_;
  std::unique_ptr<Chain> chain_;
  std::unique_ptr<Memory> memory_;
  Slot pictures_;  // on a device: the bytes that set_input sends
  Slot x_, labels_, logits_, losses_, hits_, dlogits_, dx_;
  // With 16-bit activations: the chain's own result and its gradient. Logits and loss are f32.
  Slot narrow_logits_, narrow_dlogits_;
  Tensor loss_scale_;
  // What loss() fetches; filled here so that a step allocates nothing.
  std::vector<std::byte> host_losses_;
  std::vector<std::int32_t> host_hits_;
};

}  // namespace kiln
