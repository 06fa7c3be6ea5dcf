// Any bytes as a file of torch.save: either an Error, or tensors that lie inside it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "engine/core/error.h"
#include "models/torch_model.h"

namespace {

constexpr std::int64_t kMostElements = 1 << 16;  // a view may show one element many times

void read(kiln::TorchFile& file, std::size_t size) {
  for (const kiln::TorchTensor& tensor : file.tensors()) {
    if (tensor.storage == nullptr || tensor.storage->bytes.size() > size) std::abort();
    if (tensor.shape.element_count() > kMostElements) continue;
    const auto count = static_cast<std::size_t>(tensor.shape.element_count());
    if (file.floats(tensor).size() != count) std::abort();
    if (!kiln::is_floating(tensor.type) && file.integers(tensor).size() != count) std::abort();
  }
  const kiln::ModelSpec spec = kiln::recognise_network(file);
  if (kiln::torch_weights(file, spec).entries().empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    kiln::TorchFile file("fuzz", {bytes.begin(), bytes.end()});
    read(file, size);
  } catch (const kiln::Error&) {
  }
  return 0;
}
