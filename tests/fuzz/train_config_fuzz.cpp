// A configuration file of kiln train: whatever the bytes, an Error, or settings that come back the
// same from the file that a run writes of them.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "apps/train/flags.h"
#include "apps/train/settings.h"
#include "engine/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::string> line = {"kiln train", "--data=fuzz"};
  kiln::TrainFlags flags;
  try {
    flags = kiln::parse_train_config(line, {reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const kiln::Error&) {
    return 0;
  }
  const std::string text = kiln::to_toml(flags);
  if (kiln::to_toml(kiln::parse_train_config(line, text, "again")) != text) std::abort();
  try {
    kiln::train_options(flags, {});
  } catch (const kiln::Error&) {
  }
  return 0;
}
