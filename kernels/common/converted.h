// One element from any floating type to any other, rounded to nearest, ties to even; f64 comes to
// 16 bits through f32.
#pragma once

#include <type_traits>

#include "engine/core/half.h"

namespace kiln {

template <class To, class From>
To converted(From x) {
  if constexpr (std::is_same_v<To, From>)
    return x;
  else if constexpr (sizeof(From) == 2)
    return converted<To>(to_float(x));
  else if constexpr (std::is_same_v<To, BFloat16>)
    return to_bfloat16(static_cast<float>(x));
  else if constexpr (std::is_same_v<To, Float16>)
    return to_float16(static_cast<float>(x));
  else
    return static_cast<To>(x);
}

}  // namespace kiln
