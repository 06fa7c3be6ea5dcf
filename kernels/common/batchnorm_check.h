// What the batch normalisation ops share: [..., C] seen as rows of C channels.
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

inline std::int64_t row_count_of(const Shape& x) { return x.element_count() / x[-1]; }

// Every one has shape [C], the accumulation type of x and its device.
inline void require_channels(std::string_view op, const Tensor& x,
                             std::initializer_list<NamedTensor> tensors) {
  for (const NamedTensor& t : tensors)
    require_tensor(op, t.name, t.tensor, {x.shape()[-1]}, accumulation_type(x.dtype()), x.device());
}
inline void require_optional_channels(std::string_view op, const Tensor& x,
                                      std::initializer_list<NamedTensor> tensors) {
  for (const NamedTensor& t : tensors)
    if (!t.tensor.empty()) require_channels(op, x, {t});
}

// Element `channel` of a [C] tensor, or `absent` where there is none.
template <class T>
double channel_value(const Tensor& tensor, std::int64_t channel, double absent) {
  return tensor.empty() ? absent : static_cast<double>(tensor.data<T>()[channel]);
}

}  // namespace kiln
