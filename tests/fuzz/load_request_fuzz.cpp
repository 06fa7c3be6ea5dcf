#include <cstdint>
#include <cstdlib>

#include "engine/payload/refusal.h"
#include "engine/serve/load_request.h"

namespace {

using namespace kiln::serve;

template <class Read>
void try_to(const Read& read) {
  try {
    read();
  } catch (const kiln::payload::Refusal& refusal) {
    if (refusal.status() != 400) std::abort();
  }
}

}  // namespace

// Any bytes as the body of POST /models, as a query and as a name in a path: what is taken keeps
// its limits, and a token leads back to its name. NOLINTNEXTLINE(readability-identifier-naming):
// the name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try_to([&] {
    const LoadRequest request = read_load_request(text);
    if (request.name.empty() || request.name.size() > kMostNameBytes || request.url.empty())
      std::abort();
  });
  try_to([&] {
    const PageRequest page = read_page_request(text);
    if (page.limit == 0 || page.limit > PageRequest::kMostLimit) std::abort();
  });
  if (const auto name = decode_percent(text); name && name->size() > text.size()) std::abort();
  try_to([&] {
    if (read_page_request("next_page_token=" + page_token(text)).after != text) std::abort();
  });
  return 0;
}
