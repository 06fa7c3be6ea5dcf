// Any text: either an Error, or a card that is written and read back as the same card.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/core/error.h"
#include "models/model_card.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  kiln::ModelCard card;
  try {
    card = kiln::parse_model_card({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const kiln::Error&) {
    return 0;
  }
  const std::string text = kiln::to_json(card);
  if (kiln::to_json(kiln::parse_model_card(text, "fuzz")) != text) std::abort();
  return 0;
}
