// The golden sample: a few pictures and what the network made of them when it was trained. Who
// loads the model elsewhere, on another processor or by another build, computes them again first.
//
//   golden.safetensors   pictures u8 [n, H, W, C], outputs f32 [n, K]
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/file.h"
#include "engine/infer/session.h"

namespace kiln::infer {

struct Golden {
  std::vector<std::uint8_t> pictures;  // [n, H, W, C]
  std::vector<float> outputs;          // [n, K]
};

// What the session's model makes of `pictures` [n, H, W, C].
Golden make_golden(Session& session, std::span<const std::uint8_t> pictures);

void write_golden(const Path& path, const ModelSpec& spec, const Golden& golden);
// Throws Error (input or io) where the file is none, or is of another network.
Golden read_golden(const Path& path, const ModelSpec& spec);

// Throws Error (input), naming the first number that differs by more than 1e-3 + 1e-3 |golden|:
// far more than orders of summation do, far less than a wrong weight does. `path` names the sample.
void check_golden(Session& session, const Golden& golden, const Path& path);

}  // namespace kiln::infer
