// GradientReducer: adds the gradients of all ranks, bucket by bucket, while backward goes on.
//
// Every rank divides its loss by the pictures of the whole step, so the sum over the ranks is the
// gradient of the step's mean loss, however unevenly the pictures were shared. Buckets are started
// in the order of their numbers on every rank, whatever the order in which they become ready.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/comm/buckets.h"
#include "engine/comm/communicator.h"
#include "engine/core/context.h"
#include "engine/train/backward_listener.h"
#include "engine/train/narrow_wire.h"
#include "engine/train/parameters.h"

namespace kiln {

// What gradients travel as.
enum class Wire { fp32, bf16 };

struct ReducerOptions {
  BucketOptions buckets;
  Wire wire = Wire::fp32;  // bf16: behind backward, whatever buckets.overlap says
};

class GradientReducer final : public BackwardListener {
 public:
  // All must outlive the reducer. `gradients`: flat_gradients(), on the host, or what is summed in
  // their place, of the same length and of any type that travels.
  GradientReducer(Communicator& communicator, const ParameterStore& parameters,
                  const Tensor& gradients, const ReducerOptions& options = {});

  const BucketPlan& plan() const { return plan_; }
  // For the log: "3 buckets of 1.2 to 4.1 MiB, while backward goes on".
  std::string description() const;

  // A step: begin(), add_earlier() where there is something to add to each bucket before it
  // travels, then backward with this object as the context's listener, then finish(), which reduces
  // what has not been started, the last bucket always, and waits for all. `sums` are added up over
  // the ranks beside the gradients. Allocates nothing.
  void begin(Context& c);
  void add_earlier(const Tensor& earlier) { earlier_ = earlier; }
  void layer_done(std::string_view layer) override;
  void finish(std::span<double> sums);
  // Buckets of this step whose reduction has been started.
  std::size_t started_count() const { return started_; }

 private:
  void start_ready();
  void progress();
  void prepare(const Bucket& bucket);
  void reduce(const Bucket& bucket);
  comm::Elements elements_of(const Bucket& bucket) const;

  Communicator& communicator_;
  Tensor gradients_, earlier_;
  Context* context_ = nullptr;
  BucketPlan plan_;
  std::optional<NarrowWire> wire_;
  bool overlap_;
  std::vector<int> missing_;  // layers that a bucket waits for
  std::vector<Reduction> reductions_;
  std::size_t started_ = 0, done_ = 0;
};

}  // namespace kiln
