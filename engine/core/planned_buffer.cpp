#include "engine/core/planned_buffer.h"

#include <cstdio>
#include <string>

#include "engine/core/error.h"

namespace kiln {
namespace {

std::string sized(std::size_t size_bytes) {
  constexpr double kMebibyte = 1048576.0;
  const double mebibytes = static_cast<double>(size_bytes) / kMebibyte;
  char text[48];
  if (mebibytes >= 1024)
    std::snprintf(text, sizeof text, "%.1f GiB", mebibytes / 1024);
  else
    std::snprintf(text, sizeof text, "%.1f MiB", mebibytes);
  return text;
}

}  // namespace

Buffer planned_buffer(std::string_view what, Device device, std::size_t size_bytes) {
  try {
    return {device, size_bytes};
  } catch (const Error& error) {
    throw Error(error.kind(), std::string(what) + ", " + sized(size_bytes), error.what());
  }
}

}  // namespace kiln
