// The pointwise function that an op may apply to its result before writing it.
#pragma once

namespace kiln {

// gelu is exact, by erf (kernels/include/gelu.h); the ops of batch normalisation alone know it.
enum class Activation { none, relu, gelu };

}  // namespace kiln
