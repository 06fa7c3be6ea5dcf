// What the pickles of data sets may call: NumPy's array of bytes and what belongs to it.
//
//   dtype  `bytes` is its code, such as "u1"
//   array  `bytes` the content, `items` its extents, `integer` 1 when in Fortran order
#pragma once

#include "engine/pickle/pickle.h"

namespace kiln::formats {

class NumpyCalls : public PickleCalls {
 public:
  bool permits(std::string_view name) const override;
  std::string_view mend() const override;
  PickleValue call(PickleMachine& machine, std::string_view name,
                   const PickleValue& arguments) const override;
  void build(PickleMachine& machine, PickleValue& target, const PickleValue& state) const override;
  PickleValue persistent(PickleMachine& machine, const PickleValue& id) const override;
};

}  // namespace kiln::formats
