// For json_python_test.py: reads texts from standard input, each behind its length in four bytes,
// little endian; prints one character for each, 1 where JsonReader takes it and 0 where it does
// not.
#include <cstdint>
#include <cstdio>
#include <string>

#include "engine/payload/json_reader.h"
#include "engine/payload/refusal.h"

namespace {

bool takes(const std::string& text) {
  try {
    kiln::payload::JsonReader reader(text);
    reader.skip();
    reader.end();
    return true;
  } catch (const kiln::payload::Refusal&) {
    return false;
  }
}

}  // namespace

int main() {
  std::uint32_t size = 0;
  while (std::fread(&size, sizeof size, 1, stdin) == 1) {
    std::string text(size, '\0');
    if (std::fread(text.data(), 1, size, stdin) != size) return 1;
    std::putchar(takes(text) ? '1' : '0');
  }
  return 0;
}
