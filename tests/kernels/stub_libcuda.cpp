// Stands in for the driver, libcuda.so.1, in load_device_test: it answers what the environment
// says.
#include <cstdlib>

namespace {

int number(const char* name, int absent) {
  const char* text = std::getenv(name);
  return text == nullptr ? absent : std::atoi(text);
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return number("KILN_STUB_INIT", 0); }
int cuDeviceGetCount(int* count) {
  *count = number("KILN_STUB_DEVICES", 1);
  return 0;
}
int cuDriverGetVersion(int* version) {
  *version = number("KILN_STUB_VERSION", 13000);
  return 0;
}

}  // extern "C"
