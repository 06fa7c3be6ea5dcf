// What a network computes with.
//
//   fp32   f32 throughout
//   tf32   f32 in memory; where a provider has tensor cores, products of numbers cut to 11 bits
//   bf16   weights that layers read and activations in bf16; sums, statistics, losses and the
//          weights that are trained in f32, on the CPU also their gradients
//   fp16   the same with f16, and a scaled loss
#pragma once

#include <string_view>

#include "engine/core/dtype.h"
#include "engine/core/error.h"

namespace kiln {

enum class MathMode { fp32, tf32, bf16, fp16 };

constexpr std::string_view name_of(MathMode mode) {
  constexpr std::string_view kNames[] = {"fp32", "tf32", "bf16", "fp16"};
  return kNames[static_cast<int>(mode)];
}

// Throws Error (usage) for another name.
inline MathMode parse_math_mode(std::string_view name) {
  for (const MathMode mode : {MathMode::fp32, MathMode::tf32, MathMode::bf16, MathMode::fp16})
    if (name_of(mode) == name) return mode;
  throw Error(ErrorKind::usage, "--math " + printable(name), "is no known mode",
              "use fp32, tf32, bf16 or fp16");
}

// The type of activations, and of the weights that layers read.
constexpr DType storage_of(MathMode mode) {
  if (mode == MathMode::bf16) return DType::bf16;
  return mode == MathMode::fp16 ? DType::f16 : DType::f32;
}

}  // namespace kiln
