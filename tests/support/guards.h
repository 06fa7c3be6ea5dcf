// OwnedTensor: a tensor with its memory, filled so that a kernel which forgets an element or writes
// beside its output is caught.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/tensor.h"
#include "engine/core/transfer.h"
#include "tests/support/devices.h"

namespace kiln::test {

using Values = std::vector<double>;

// Floats start as NaN, integers as 0xA5 bytes. A band of 0x5A bytes lies before the first element
// and right behind the last one.
//
// On a device other than the CPU the elements live twice: here, where tests read and write them,
// and there. Taking a view sends what the test has written; reading fetches what ops may have
// written since. So a view is taken anew for every call of an op.
class OwnedTensor {
 public:
  static constexpr std::size_t kBandBytes = 256;

  OwnedTensor(const Shape& shape, DType dtype) : OwnedTensor(shape, dtype, test_device()) {}
  OwnedTensor(const Shape& shape, DType dtype, Device device)
      : host_(Device{},
              static_cast<std::size_t>(shape.element_count()) * size_of(dtype) + 2 * kBandBytes),
        elements_(host_.data() + kBandBytes, shape, dtype) {
    if (!device.is_host()) remote_ = Buffer(device, host_.size_bytes());
    std::memset(host_.data(), kBandByte, host_.size_bytes());
    spoil();
  }
  // Exactly these numbers, cast to `dtype`.
  OwnedTensor(const Shape& shape, DType dtype, const Values& values) : OwnedTensor(shape, dtype) {
    assign(values);
  }

  OwnedTensor(const Shape& shape, DType dtype, Device device, const Values& values)
      : OwnedTensor(shape, dtype, device) {
    assign(values);
  }

  // A view on the device under test; the OwnedTensor must outlive it.
  operator Tensor() const { return view(); }  // NOLINT(google-explicit-constructor)
  Tensor view() const {
    if (remote_.data() == nullptr) return elements_;
    if (newest_ == Newest::host)
      copy_to_device(remote_.device(), remote_.data(), host_.data(), host_.size_bytes());
    newest_ = Newest::device;
    return {remote_.data() + kBandBytes, elements_.shape(), elements_.dtype(), remote_.device()};
  }
  std::int64_t element_count() const { return elements_.element_count(); }
  const Shape& shape() const { return elements_.shape(); }
  DType dtype() const { return elements_.dtype(); }

  // Back to the state after construction, guard bands excepted.
  void spoil() {
    std::memset(elements_.raw(), 0xA5, elements_.size_bytes());
    if (dtype() == DType::f32 || dtype() == DType::f64 || is_16_bit(dtype()))
      for (std::int64_t i = 0; i < element_count(); ++i)
        set(i, std::numeric_limits<double>::quiet_NaN());
    newest_ = Newest::host;
  }
  bool guards_intact() const {
    fetch();
    const std::byte* end = host_.data() + kBandBytes + elements_.size_bytes();
    for (std::size_t i = 0; i < kBandBytes; ++i)
      if (host_.data()[i] != std::byte{kBandByte} || end[i] != std::byte{kBandByte}) return false;
    return true;
  }
  // The elements' bytes, on the host.
  const void* bytes() const {
    fetch();
    return elements_.raw();
  }
  std::size_t size_bytes() const { return elements_.size_bytes(); }
  // The elements on the host, to read; without const also to write.
  template <class T>
  std::span<T> host() const {
    fetch();
    if (!std::is_const_v<T>) newest_ = Newest::host;
    return elements_.elements<T>();
  }

  double at(std::int64_t i) const {
    fetch();
    switch (dtype()) {
      case DType::f32:
        return static_cast<double>(elements_.data<float>()[i]);
      case DType::f64:
        return elements_.data<double>()[i];
      case DType::i32:
        return elements_.data<std::int32_t>()[i];
      case DType::i64:
        return static_cast<double>(elements_.data<std::int64_t>()[i]);
      case DType::u8:
        return elements_.data<std::uint8_t>()[i];
      case DType::f16:
        return static_cast<double>(to_float(elements_.data<Float16>()[i]));
      case DType::bf16:
        return static_cast<double>(to_float(elements_.data<BFloat16>()[i]));
    }
    return 0;
  }
  void set(std::int64_t i, double value) {
    fetch();
    newest_ = Newest::host;
    switch (dtype()) {
      case DType::f32:
        elements_.data<float>()[i] = static_cast<float>(value);
        return;
      case DType::f64:
        elements_.data<double>()[i] = value;
        return;
      case DType::i32:
        elements_.data<std::int32_t>()[i] = static_cast<std::int32_t>(value);
        return;
      case DType::i64:
        elements_.data<std::int64_t>()[i] = static_cast<std::int64_t>(value);
        return;
      case DType::u8:
        elements_.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(value);
        return;
      case DType::f16:
        elements_.data<Float16>()[i] = to_float16(static_cast<float>(value));
        return;
      case DType::bf16:
        elements_.data<BFloat16>()[i] = to_bfloat16(static_cast<float>(value));
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
  enum class Newest { host, device, both };

  void fetch() const {
    if (remote_.data() == nullptr || newest_ != Newest::device) return;
    copy_to_host(remote_.device(), host_.data(), remote_.data(), host_.size_bytes());
    newest_ = Newest::both;
  }

  Buffer host_, remote_;
  Tensor elements_;  // of host_
  mutable Newest newest_ = Newest::host;
};

}  // namespace kiln::test
