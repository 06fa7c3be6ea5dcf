// GradientReducer: adds the gradients of all ranks, bucket by bucket, while backward goes on.
//
// Every rank divides its loss by the pictures of the whole step, so the sum over the ranks is the
// gradient of the step's mean loss, however unevenly the pictures were shared. Buckets are started
// in the order of their numbers on every rank, whatever the order in which they become ready.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/comm/buckets.h"
#include "engine/comm/communicator.h"
#include "engine/train/backward_listener.h"
#include "engine/train/parameters.h"

namespace kiln {

class GradientReducer final : public BackwardListener {
 public:
  // Both must outlive the reducer. The gradients are those of flat_gradients(), on the host.
  GradientReducer(Communicator& communicator, const ParameterStore& parameters,
                  const BucketOptions& options = {});

  const BucketPlan& plan() const { return plan_; }
  // For the log: "3 buckets of 1.2 to 4.1 MiB, while backward goes on".
  std::string description() const;

  // A step: begin(), then backward with this object as the context's listener, then finish(), which
  // reduces what has not been started, the last bucket always, and waits for all. `sums` are added
  // up over the ranks beside the gradients. Allocates nothing.
  void begin();
  void layer_done(std::string_view layer) override;
  void finish(std::span<double> sums);
  // Buckets of this step whose reduction has been started.
  std::size_t started_count() const { return started_; }

 private:
  void start_ready();
  void progress();
  comm::Elements elements_of(const Bucket& bucket) const;

  Communicator& communicator_;
  Tensor gradients_;
  BucketPlan plan_;
  bool overlap_;
  std::vector<int> missing_;  // layers that a bucket waits for
  std::vector<Reduction> reductions_;
  std::size_t started_ = 0, done_ = 0;
};

}  // namespace kiln
