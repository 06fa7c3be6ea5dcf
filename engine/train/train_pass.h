// TrainPass: forward, loss and backward of one batch, on all threads of a context.
//
// There are three ways to share a batch among T threads, and the plan decides once which it is:
//
//   by ops      one network of the whole batch. Every op cuts its own work; the threads meet twice
//               an op, some forty times a step of LeNet.
//   by slices   T networks, each of a contiguous slice of the pictures, each with gradients of its
//               own and one thread to itself. The threads meet when all are through; then the
//               gradients are added, that of slice 0 first, in the order of the slices.
//   by exact slices  under --deterministic: slices of a fixed number of pictures, which a thread
//               works on one after the other; their gradients are added exactly (ExactSum). What
//               comes out depends on the pictures alone: on neither threads nor ranks nor
//               micro-batches, as long as all of these cut the batch at ends of slices.
//
// Slices want a network in which no picture knows of another or of its own place in the batch: no
// batch normalisation, whose means run over the batch, and no dropout, whose mask is numbered by
// it. They cost T - 1 more gradient buffers, written and added once a step; so a slice must do a
// good deal of work per weight. On other devices, and under --deterministic with any other network
// or type than f32, it is always by ops.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/train/exact_sum.h"
#include "engine/train/network.h"

namespace kiln {

struct TrainPassOptions {
  std::int64_t batch_size = 64;
  std::int64_t mean_over = 0;  // pictures that the loss is the mean of; 0: those of the batch
  double label_smoothing = 0.0;
  std::vector<std::string> paused = {};  // as in NetworkOptions
  // Of exact slices alone: where they are added to, for a caller that has more to add; the store's
  // gradients are then scratch memory. Null: a run starts a sum of its own and writes the store's.
  ExactSum* exact = nullptr;
};

// Pictures of an exact slice; 0 where the network, type, device or context wants none.
std::int64_t exact_slice_size(const ModelSpec& spec, const ParameterStore& parameters,
                              const Context& context);

// Whether `spec` is trained by slices where `batch_size` pictures meet `thread_count` threads.
bool wants_slices(const ModelSpec& spec, std::int64_t batch_size, int thread_count);

class TrainPass {
 public:
  // `parameters` must outlive the pass, and every run() must be given a context of the same device,
  // thread count and determinism as `context`.
  TrainPass(const ModelSpec& spec, const ParameterStore& parameters, const Context& context,
            Conv2dProviders& providers, const TrainPassOptions& options);
  ~TrainPass();
  TrainPass(TrainPass&&) noexcept;

  std::int64_t batch_size() const { return batch_size_; }
  // "by ops", "by slices: 2 of up to 32 pictures", "by exact slices of 4 pictures"; for the log.
  std::string description() const;

  // Scores the batch and overwrites every parameter gradient. Pictures u8 [batch_size, H, W, C].
  BatchResult run(Context& c, std::span<const std::uint8_t> images,
                  std::span<const std::int32_t> labels, const Normalisation& normalisation);

  // As run(), but the store's gradients and rest() are still to be added: the optimizer does both
  // in one pass over memory. rest() is empty where there is nothing to add.
  BatchResult run_apart(Context& c, std::span<const std::uint8_t> images,
                        std::span<const std::int32_t> labels, const Normalisation& normalisation);
  Tensor rest() const;

  // As run() for pictures that lie in the network's input already, by ops alone; what they scored
  // stays in network(0). On a device nothing waits for it.
  void run_loaded(Context& c);

  // After a run whose loss is not finite: the first layer to blame, as in Network.
  std::string first_layer_not_finite(Context& c);

  // One network of the whole batch, or one for each slice; of exact slices one or two a thread.
  std::size_t network_count() const;
  const Network& network(std::size_t which) const;

 private:
  struct Slice;
  struct Exact;

  BatchResult run_slices(Context& c, std::span<const std::uint8_t> images,
                         std::span<const std::int32_t> labels, const Normalisation& normalisation);

  BatchResult run_exact(Context& c, std::span<const std::uint8_t> images,
                        std::span<const std::int32_t> labels, const Normalisation& normalisation);

  std::int64_t batch_size_;
  std::unique_ptr<Network> whole_;              // by ops
  std::vector<std::unique_ptr<Slice>> slices_;  // or by slices
  std::unique_ptr<Exact> exact_;                // or by exact slices
  Tensor gradients_;                            // of the store: where the slices' sum goes
};

}  // namespace kiln
