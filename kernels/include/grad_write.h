// Add or replace? Every gradient that a layer hands on says so in its signature.
#pragma once

namespace kiln {

enum class GradWrite {
  overwrite,   // dx = ...
  accumulate,  // dx += ...
  skip,        // nobody wants dx: the first layer of a network
};

}  // namespace kiln
