// BackwardListener: told how far backward is, so that finished gradients can travel meanwhile.
#pragma once

#include <string_view>

namespace kiln {

class BackwardListener {
 public:
  virtual ~BackwardListener() = default;
  // The layer of that name has written the gradients of its parameters. Called by the thread that
  // runs backward, for layers without parameters too.
  virtual void layer_done(std::string_view layer) = 0;
};

}  // namespace kiln
