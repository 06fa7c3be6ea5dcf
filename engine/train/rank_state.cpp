#include "engine/train/rank_state.h"

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/core/error.h"

namespace kiln {
namespace {

// FNV-1a over words of eight bytes.
std::int64_t digest(const Tensor& values) {
  std::uint64_t hash = 14695981039346656037u;
  const auto* bytes = static_cast<const std::byte*>(values.raw());
  for (std::size_t at = 0; at + 8 <= values.size_bytes(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes + at, sizeof word);
    hash = (hash ^ word) * 1099511628211u;
  }
  return static_cast<std::int64_t>(hash);
}

void broadcast(Communicator& comm, const Tensor& tensor) {
  comm.broadcast({tensor.raw(), tensor.element_count(), tensor.dtype()});
}

}  // namespace

void share_state(Communicator& comm, ParameterStore& parameters, Optimizer& optimizer,
                 const Lookahead* lookahead, TrainPosition& position, std::int64_t& seen) {
  broadcast(comm, parameters.flat_values());
  for (const Parameter& p : parameters.all())
    if (!p.trainable()) broadcast(comm, p.value);
  for (const Optimizer::State& state : optimizer.states()) broadcast(comm, state.flat);
  if (lookahead != nullptr)
    for (const Parameter& p : parameters.all())
      if (const Tensor average = lookahead->average(p); !average.empty()) broadcast(comm, average);
  std::int64_t counts[] = {optimizer.step_count(), parameters.batches_tracked(), seen};
  comm.broadcast<std::int64_t>(counts);
  optimizer.set_step_count(counts[0]);
  parameters.set_batches_tracked(counts[1]);
  seen = counts[2];
  static_assert(std::is_trivially_copyable_v<TrainPosition>);
  comm.broadcast(std::as_writable_bytes(std::span(&position, 1)));
}

void share_statistics(Communicator& comm, const ParameterStore& parameters) {
  for (const Parameter& p : parameters.all())
    if (p.is_statistic()) broadcast(comm, p.value);
}

void check_equal_weights(Communicator& comm, const ParameterStore& parameters, std::int64_t step) {
  const std::int64_t mine[] = {digest(parameters.flat_values())};
  std::vector<std::int64_t> all(static_cast<std::size_t>(comm.size()));
  comm.all_gather<std::int64_t>(mine, all);
  for (std::size_t r = 1; r < all.size(); ++r)
    if (all[r] != all[0])
      throw Error(ErrorKind::io, "rank " + std::to_string(r),
                  "has other weights than rank 0 after step " + std::to_string(step),
                  "check that machine's memory; the last good checkpoint was kept");
}

Evaluation add_up(Communicator& comm, Evaluation own) {
  double loss_sum[] = {own.loss * static_cast<double>(own.image_count)};
  std::int64_t counts[] = {own.hit_count, own.image_count};
  comm.all_reduce<double>(loss_sum);
  comm.all_reduce<std::int64_t>(counts);
  comm.all_reduce<std::int64_t>(own.confusion);
  own.hit_count = counts[0];
  own.image_count = counts[1];
  own.loss = loss_sum[0] / static_cast<double>(own.image_count);
  return own;
}

}  // namespace kiln
