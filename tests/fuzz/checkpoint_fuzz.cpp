// Any bytes as the checkpoint of a small network: either an Error, or a position that a run can go
// on from.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/core/error.h"
#include "engine/train/checkpoint.h"
#include "models/spec.h"

namespace {

// A network with a running statistic and an optimizer with two states for each parameter.
constexpr std::string_view kSpec = R"(
  {"name": "tiny", "input": {"height": 2, "width": 2, "channels": 1}, "classes": 2, "layers": [
    {"type": "conv2d", "name": "c", "out_channels": 2, "kernel_size": 2},
    {"type": "batch_norm", "name": "n"}, {"type": "flatten"},
    {"type": "linear", "name": "f", "out_features": 2}]})";

// Counts that a run can add to without end.
bool possible(std::int64_t count) { return count >= 0 && count <= std::int64_t{1} << 50; }

bool possible(const kiln::TrainPosition& p) {
  for (const std::int64_t count : {p.epoch, p.epoch_step, p.step, p.epoch_hit_count,
                                   p.epoch_image_count, p.interval_step_count})
    if (!possible(count)) return false;
  for (const double sum : {p.epoch_loss_sum, p.epoch_seconds, p.interval_loss_sum})
    if (!std::isfinite(sum) || sum < 0) return false;
  return p.epoch_hit_count <= p.epoch_image_count && p.epoch <= UINT32_MAX;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static kiln::ParameterStore parameters(kiln::parse_spec(kSpec, "fuzz"), kiln::DType::f32,
                                         kiln::Device{});
  static kiln::Optimizer optimizer({.kind = kiln::OptimizerKind::adam}, parameters);
  const kiln::UniqueFd file(::memfd_create("checkpoint", MFD_CLOEXEC));
  if (::write(file.get(), data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    const kiln::TrainPosition position = kiln::load_checkpoint(
        "/proc/self/fd/" + std::to_string(file.get()), parameters, optimizer, {{"seed", "1"}});
    if (!possible(position) || !possible(optimizer.step_count()) ||
        !possible(parameters.batches_tracked()))
      std::abort();
  } catch (const kiln::Error&) {
  }
  return 0;
}
