// The plug-in's one entry: its table of functions and kernels. Compiled into libkiln_cuda.so and,
// with KILN_EMU, into libkiln_emu.so.
#include "engine/core/backend.h"

#include <array>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_id.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/runtime.h"

namespace kiln::cuda {
namespace {

template <class Args, void (*kernel)(Context&, const Args&)>
void run(Context& c, const void* args) {
  kernel(c, *static_cast<const Args*>(args));
}

// On a device the engine does these as a convolution, then relu and pooling: no kernel.
constexpr void (*conv2d_relu_maxpool)(Context&, const Conv2dReluMaxpoolArgs&) = nullptr;
constexpr void (*conv2d_relu_maxpool_grad)(Context&, const Conv2dReluMaxpoolGradArgs&) = nullptr;

template <class Args, void (*kernel)(Context&, const Args&)>
constexpr DeviceBackend::Run entry() {
  return kernel == nullptr ? nullptr : &run<Args, kernel>;
}

constexpr std::array<DeviceBackend::Run, kOpCount> kOps = {
#define KILN_TABLE_ENTRY(op, args) entry<args, op>(),
    KILN_OPS(KILN_TABLE_ENTRY)
#undef KILN_TABLE_ENTRY
};

constexpr DeviceBackend kBackend {
  .version = kDeviceBackendVersion,
#if defined(KILN_EMU)
  .type = DeviceType::emu,
#else
  .type = DeviceType::cuda,
#endif
  .device_count = device_count, .describe = describe, .allocate = allocate, .release = release,
  .stream = stream, .copy_to_device = copy_to_device, .copy_to_host = copy_to_host, .fill = fill,
  .synchronise = synchronise, .begin_capture = begin_capture, .end_capture = end_capture,
  .abandon_capture = abandon_capture, .launch_graph = launch_graph, .release_graph = release_graph,
  .allocate_pinned = allocate_pinned, .release_pinned = release_pinned,
  .queue_copy_to_host = queue_copy_to_host, .make_event = make_event,
  .release_event = release_event, .record_event = record_event, .event_done = event_done,
  .wait_event = wait_event, .ops = kOps.data(),
};

}  // namespace
}  // namespace kiln::cuda

extern "C" __attribute__((visibility("default"))) const kiln::DeviceBackend* kiln_device_backend(
    const kiln::BackendCaller* caller) {
  const kiln::BackendCaller own{.op_count = kiln::kOpCount,
                                .tensor_bytes = sizeof(kiln::Tensor),
                                .context_bytes = sizeof(kiln::Context)};
  const bool alike = caller->version == own.version && caller->op_count == own.op_count &&
                     caller->tensor_bytes == own.tensor_bytes &&
                     caller->context_bytes == own.context_bytes;
  return alike ? &kiln::cuda::kBackend : nullptr;
}
