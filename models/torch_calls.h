// What the pickle in a file of torch.save may call: tensors, their storages and ordered
// dictionaries.
//
//   storage  `bytes` is its key, `integer` its count of elements, `items` {the name of its type}
//   tensor   `integer` is its offset in elements, `items` {storage, extents, strides}
#pragma once

#include "engine/pickle/pickle.h"

namespace kiln {

class TorchCalls : public PickleCalls {
 public:
  bool permits(std::string_view name) const override;
  std::string_view mend() const override;
  PickleValue call(PickleMachine& machine, std::string_view name,
                   const PickleValue& arguments) const override;
  void build(PickleMachine& machine, PickleValue& target, const PickleValue& state) const override;
  PickleValue persistent(PickleMachine& machine, const PickleValue& id) const override;
};

}  // namespace kiln
