// A buffer whose failure says who wanted it.
#pragma once

#include <string_view>

#include "engine/core/buffer.h"

namespace kiln {

// As Buffer(device, size_bytes). Where there is no such memory the Error begins with `what` and the
// bytes of it: "arena of activations and their gradients, 12.5 GiB: cuda:0: cannot get ...".
Buffer planned_buffer(std::string_view what, Device device, std::size_t size_bytes);

}  // namespace kiln
