// Element types. visit_float and visit_storage are the only places where a run-time type becomes a
// template argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/half.h"

namespace kiln {

// f64 exists so that every gradient can be checked by finite differences through the real layers.
// f16 (IEEE binary16) and bf16 (the upper half of an f32) are storage types: sums run in f32.
enum class DType : std::uint8_t { f32, f64, i32, i64, u8, f16, bf16 };

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

template <class T>
inline constexpr DType dtype_of = [] {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::i64;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
  if constexpr (std::is_same_v<T, Float16>) return DType::f16;
  if constexpr (std::is_same_v<T, BFloat16>) return DType::bf16;
}();

constexpr bool is_16_bit(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

// What an op on elements of `dtype` sums in: also the type of the statistics, scales and losses
// that go with them.
constexpr DType accumulation_type(DType dtype) { return is_16_bit(dtype) ? DType::f32 : dtype; }
template <class T>
using Accumulated = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Calls f(T{}) with the C++ type of a DType that arithmetic is done in; throws Error (unsupported)
// for the others.
template <class F>
decltype(auto) visit_float(DType dtype, F&& f) {
  if (dtype == DType::f32) return std::forward<F>(f)(float{});
  if (dtype == DType::f64) return std::forward<F>(f)(double{});
  throw Error(ErrorKind::unsupported, name_of(dtype), "is no type to compute in");
}

// Calls f(T{}) with the storage type of f32, f64, f16 and bf16; Accumulated<T> is what to compute
// in. Throws Error (unsupported) for the others.
template <class F>
decltype(auto) visit_storage(DType dtype, F&& f) {
  if (dtype == DType::f16) return std::forward<F>(f)(Float16{});
  if (dtype == DType::bf16) return std::forward<F>(f)(BFloat16{});
  return visit_float(dtype, std::forward<F>(f));
}

}  // namespace kiln
