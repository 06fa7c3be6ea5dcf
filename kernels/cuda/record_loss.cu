// record_loss on a GPU: one warp; its time is that of a launch.
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/softmax_row.h"
#include "kernels/include/record_loss.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Scores {
  const T* loss;
  const std::int32_t* hit;
  std::int64_t count;
  StepState* state;
  StepLoss* log;
  std::uint64_t log_size;
};

template <class T>
__global__ void record_loss_in_a_warp(Scores<T> a) {
  double loss = 0;
  std::int64_t hits = 0;
  for (std::int64_t n = threadIdx.x; n < a.count; n += kWarp) {
    loss += static_cast<double>(a.loss[n]);
    hits += a.hit[n];
  }
  loss = warp_reduce(loss, Sum{});
  hits = warp_reduce(hits, Sum{});
  if (threadIdx.x != 0 || a.state->halted != 0) return;
  a.log[a.state->step % a.log_size] = {a.state->step, loss, hits};
  if (!(loss - loss == 0)) a.state->halted = 1;
}

}  // namespace

void record_loss(Context& c, const RecordLossArgs& a) {
  visit_float(a.loss.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch<Threads::cooperate>(c, "record_loss", record_loss_in_a_warp<T>, {.block_x = kWarp},
                               Scores<T>{.loss = a.loss.data<T>(),
                                         .hit = a.hit.data<std::int32_t>(),
                                         .count = a.loss.element_count(),
                                         .state = a.state,
                                         .log = a.log,
                                         .log_size = static_cast<std::uint64_t>(a.log_size)});
  });
}

}  // namespace kiln::cuda
