// Any bytes as the pickle inside a file of torch.save: either an Error, or values that fit
// together.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "engine/core/error.h"
#include "engine/pickle/pickle.h"
#include "models/torch_calls.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const kiln::Pickle pickle("fuzz", std::span(data, size), kiln::TorchCalls());
    const kiln::PickleValue& root = pickle.root();
    if (root.kind == kiln::PickleValue::Kind::dict && root.items.size() % 2 != 0) std::abort();
    if (root.kind == kiln::PickleValue::Kind::tensor && root.items.size() != 3) std::abort();
    pickle.find(root, "model_state_dict");
  } catch (const kiln::Error&) {
  }
  return 0;
}
