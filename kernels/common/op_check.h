// What the check() of every op is made of: one clear line about the first argument that is wrong.
#pragma once

#include <initializer_list>
#include <string_view>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_id.h"

namespace kiln {

struct StepState;  // kernels/include/step_state.h

// Throws Error (unsupported): "<op>: <wrong>".
[[noreturn]] void refuse(std::string_view op, std::string_view wrong);

inline void require(bool holds, std::string_view op, std::string_view wrong) {
  if (!holds) [[unlikely]]
    refuse(op, wrong);
}

// `tensor` has memory, this shape, this type and this device; `name` is what the message calls it.
void require_tensor(std::string_view op, std::string_view name, const Tensor& tensor,
                    const Shape& shape, DType dtype, Device device);

// `tensor` has memory and a floating type: f32, f64 or bf16, and on a device other than the CPU
// also f16. The 16-bit ones are storage: sums run in accumulation_type, and a result is rounded
// once.
void require_float(std::string_view op, std::string_view name, const Tensor& tensor);

struct NamedTensor {
  std::string_view name;
  const Tensor& tensor;
};
// As require_float, without the 16-bit types.
void require_wide(std::string_view op, std::string_view name, const Tensor& tensor);

// Every one has the shape, the type and the device of `model`, which is floating.
void require_alike(std::string_view op, NamedTensor model,
                   std::initializer_list<NamedTensor> others);

// For the layers' own arguments, whose shapes the layers fix: std::logic_error where one does not
// fit. `tensor` has memory, is of `shape`, and of the type and on the device of `like`.
void check_tensor(const Tensor& tensor, const Shape& shape, const Tensor& like);
// The same of bias, dw and dbias, which on the CPU have the type of sums.
void check_parameter(const Tensor& tensor, const Shape& shape, const Tensor& like);

// An op of the CPU gets the numbers of a step in its Args, not in a StepState.
void require_no_host_state(std::string_view op, const Tensor& tensor, const StepState* state);

// Runs the op where the context's device is: `cpu`, or the kernel in the device's table. Throws
// Error (unsupported) where the device has none.
template <class Args>
void on_device(Context& c, Op op, const Args& args, void (*cpu)(Context&, const Args&)) {
  if (c.device().is_host()) return cpu(c, args);
  const DeviceBackend::Run run = c.device().backend->ops[static_cast<int>(op)];
  if (run == nullptr) [[unlikely]]
    refuse(name_of(op), "has no kernel for device " + to_string(c.device()));
  run(c, &args);
}

}  // namespace kiln
