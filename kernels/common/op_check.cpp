#include "kernels/common/op_check.h"

#include <string>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "kernels/cpu/has_bf16.h"

namespace kiln {
namespace {

// Made only for a message: checks run in every step and must not touch the heap.
std::string subject(std::string_view name) { return "tensor " + std::string(name) + " "; }

}  // namespace

void refuse(std::string_view op, std::string_view wrong) {
  throw Error(ErrorKind::unsupported, op, wrong);
}

void require_tensor(std::string_view op, std::string_view name, const Tensor& tensor,
                    const Shape& shape, DType dtype, Device device) {
  if (tensor.empty() && shape.element_count() != 0) refuse(op, subject(name) + "is missing");
  if (tensor.shape() != shape)
    refuse(op, subject(name) + "has shape " + to_string(tensor.shape()) + " instead of " +
                   to_string(shape));
  if (tensor.dtype() != dtype)
    refuse(op, subject(name) + "has type " + std::string(name_of(tensor.dtype())) + " instead of " +
                   std::string(name_of(dtype)));
  if (tensor.device() != device)
    refuse(op, subject(name) + "lies on " + to_string(tensor.device()) + " instead of " +
                   to_string(device));
}

void require_float(std::string_view op, std::string_view name, const Tensor& tensor) {
  if (tensor.empty() && tensor.element_count() != 0) refuse(op, subject(name) + "is missing");
  const DType dtype = tensor.dtype();
  if (dtype == DType::f16 && tensor.device().is_host())
    refuse(op, subject(name) + "has type f16, which the CPU has no kernel for; use bf16 or f32");
  if (dtype == DType::bf16 && tensor.device().is_host() && !cpu::kHasBf16)
    refuse(op, subject(name) + "has type bf16, which this build leaves out; use f32");
  if (dtype != DType::f32 && dtype != DType::f64 && !is_16_bit(dtype))
    refuse(op,
           subject(name) + "has type " + std::string(name_of(dtype)) + " instead of f32 or f64");
}

void require_wide(std::string_view op, std::string_view name, const Tensor& tensor) {
  require_float(op, name, tensor);
  if (is_16_bit(tensor.dtype()))
    refuse(op, subject(name) + "has type " + std::string(name_of(tensor.dtype())) +
                   " instead of f32 or f64");
}

void require_alike(std::string_view op, NamedTensor model,
                   std::initializer_list<NamedTensor> others) {
  require_float(op, model.name, model.tensor);
  for (const NamedTensor& other : others)
    require_tensor(op, other.name, other.tensor, model.tensor.shape(), model.tensor.dtype(),
                   model.tensor.device());
}

void check_tensor(const Tensor& tensor, const Shape& shape, const Tensor& like) {
  KILN_CHECK(!tensor.empty() && tensor.shape() == shape);
  KILN_CHECK(tensor.dtype() == like.dtype() && tensor.device() == like.device());
}

void check_parameter(const Tensor& tensor, const Shape& shape, const Tensor& like) {
  const DType dtype = like.device().is_host() ? accumulation_type(like.dtype()) : like.dtype();
  KILN_CHECK(!tensor.empty() && tensor.shape() == shape);
  KILN_CHECK(tensor.dtype() == dtype && tensor.device() == like.device());
}

void require_no_host_state(std::string_view op, const Tensor& tensor, const StepState* state) {
  require(state == nullptr || !tensor.device().is_host(), op, "reads no state on the CPU");
}

}  // namespace kiln
