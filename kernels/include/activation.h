// The pointwise function that an op may apply to its result before writing it.
#pragma once

namespace kiln {

enum class Activation { none, relu };

}  // namespace kiln
