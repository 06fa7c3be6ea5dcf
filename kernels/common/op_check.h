// What the check() of every op is made of: one clear line about the first argument that is wrong.
#pragma once

#include <initializer_list>
#include <string_view>

#include "engine/core/context.h"
#include "engine/core/tensor.h"

namespace kiln {

// Throws Error (unsupported): "<op>: <wrong>".
[[noreturn]] void refuse(std::string_view op, std::string_view wrong);

inline void require(bool holds, std::string_view op, std::string_view wrong) {
  if (!holds) [[unlikely]]
    refuse(op, wrong);
}

// `tensor` has memory, this shape, this type and this device; `name` is what the message calls it.
void require_tensor(std::string_view op, std::string_view name, const Tensor& tensor,
                    const Shape& shape, DType dtype, Device device);

// `tensor` has memory and a floating type.
void require_float(std::string_view op, std::string_view name, const Tensor& tensor);

struct NamedTensor {
  std::string_view name;
  const Tensor& tensor;
};
// Every one has the shape, the type and the device of `model`, which is floating.
void require_alike(std::string_view op, NamedTensor model,
                   std::initializer_list<NamedTensor> others);

// Runs `cpu` where the context's device is the CPU; throws Error (unsupported) for another one.
template <class F>
void on_device(const Context& c, std::string_view op, const F& cpu) {
  if (c.device().type != DeviceType::cpu) [[unlikely]]
    refuse(op, "is not in this build for device " + to_string(c.device()));
  cpu();
}

}  // namespace kiln
