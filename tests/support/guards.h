// OwnedTensor: a tensor with its memory, filled so that a kernel which forgets an element or writes
// beside its output is caught.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/tensor.h"

namespace kiln::test {

using Values = std::vector<double>;

// Floats start as NaN, integers as 0xA5 bytes. A band of 0x5A bytes lies before the first element
// and right behind the last one.
class OwnedTensor {
 public:
  static constexpr std::size_t kBandBytes = 256;

  OwnedTensor(const Shape& shape, DType dtype)
      : buffer_(Device{},
                static_cast<std::size_t>(shape.element_count()) * size_of(dtype) + 2 * kBandBytes),
        view_(buffer_.data() + kBandBytes, shape, dtype) {
    std::memset(buffer_.data(), kBandByte, buffer_.size_bytes());
    spoil();
  }
  // Exactly these numbers, cast to `dtype`.
  OwnedTensor(const Shape& shape, DType dtype, const Values& values) : OwnedTensor(shape, dtype) {
    assign(values);
  }

  // A view; the OwnedTensor must outlive it.
  operator const Tensor&() const { return view_; }  // NOLINT(google-explicit-constructor)
  const Tensor& view() const { return view_; }
  std::int64_t element_count() const { return view_.element_count(); }
  const Shape& shape() const { return view_.shape(); }
  DType dtype() const { return view_.dtype(); }

  // Back to the state after construction, guard bands excepted.
  void spoil() {
    std::memset(view_.raw(), 0xA5, view_.size_bytes());
    if (dtype() == DType::f32 || dtype() == DType::f64)
      for (std::int64_t i = 0; i < element_count(); ++i)
        set(i, std::numeric_limits<double>::quiet_NaN());
  }
  bool guards_intact() const {
    const std::byte* end = buffer_.data() + kBandBytes + view_.size_bytes();
    for (std::size_t i = 0; i < kBandBytes; ++i)
      if (buffer_.data()[i] != std::byte{kBandByte} || end[i] != std::byte{kBandByte}) return false;
    return true;
  }

  double at(std::int64_t i) const {
    switch (dtype()) {
      case DType::f32:
        return static_cast<double>(view_.data<float>()[i]);
      case DType::f64:
        return view_.data<double>()[i];
      case DType::i32:
        return view_.data<std::int32_t>()[i];
      case DType::i64:
        return static_cast<double>(view_.data<std::int64_t>()[i]);
      case DType::u8:
        return view_.data<std::uint8_t>()[i];
    }
    return 0;
  }
  void set(std::int64_t i, double value) {
    switch (dtype()) {
      case DType::f32:
        view_.data<float>()[i] = static_cast<float>(value);
        return;
      case DType::f64:
        view_.data<double>()[i] = value;
        return;
      case DType::i32:
        view_.data<std::int32_t>()[i] = static_cast<std::int32_t>(value);
        return;
      case DType::i64:
        view_.data<std::int64_t>()[i] = static_cast<std::int64_t>(value);
        return;
      case DType::u8:
        view_.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(value);
        return;
    }
  }
  Values values() const {
    Values all(static_cast<std::size_t>(element_count()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = at(static_cast<std::int64_t>(i));
    return all;
  }
  void assign(const Values& values) {
    KILN_CHECK(static_cast<std::int64_t>(values.size()) == element_count());
    for (std::size_t i = 0; i < values.size(); ++i) set(static_cast<std::int64_t>(i), values[i]);
  }

 private:
  static constexpr unsigned char kBandByte = 0x5A;

  Buffer buffer_;
  Tensor view_;
};

}  // namespace kiln::test
