// Tensor: a view of memory that something else owns. Copying it copies no data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "engine/core/check.h"
#include "engine/core/device.h"
#include "engine/core/dtype.h"
#include "engine/core/shape.h"

namespace kiln {

class Tensor {
 public:
  Tensor() = default;
  Tensor(void* data, const Shape& shape, DType dtype, Device device = {})
      : data_(data), shape_(shape), dtype_(dtype), device_(device) {}
  // A dense view of host elements.
  template <class T>
  Tensor(std::span<T> elements, const Shape& shape)
      : Tensor(const_cast<std::remove_const_t<T>*>(elements.data()), shape,
               dtype_of<std::remove_const_t<T>>) {
    KILN_CHECK(static_cast<std::int64_t>(elements.size()) == shape.element_count());
  }

  bool empty() const { return data_ == nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  void* raw() const { return data_; }
  std::int64_t element_count() const { return shape_.element_count(); }
  std::size_t size_bytes() const {
    return static_cast<std::size_t>(element_count()) * size_of(dtype_);
  }
  // The elements; T must be the tensor's type.
  template <class T>
  T* data() const {
    KILN_CHECK(dtype_of<std::remove_const_t<T>> == dtype_);
    return static_cast<T*>(data_);
  }
  template <class T>
  std::span<T> elements() const {
    return {data<T>(), static_cast<std::size_t>(element_count())};
  }
  // The same elements under another shape of equal count.
  Tensor reshaped(const Shape& shape) const {
    KILN_CHECK(shape.element_count() == element_count());
    return {data_, shape, dtype_, device_};
  }

 private:
  void* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::f32;
  Device device_;
};

}  // namespace kiln
