#include "kernels/include/load_device.h"

#include <array>
#include <dlfcn.h>
#include <filesystem>
#include <system_error>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_id.h"

namespace kiln {
namespace {

// A table in the plug-in's memory, or nullptr with the reason in `why`.
const DeviceBackend* open_plugin(const std::string& name, std::string& why) {
  std::error_code failed;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
  for (const auto& place : {folder, folder / ".." / "lib"}) {
    const auto path = place / name;
    if (!std::filesystem::exists(path, failed)) continue;
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      why = dlerror();
      return nullptr;
    }
    const BackendCaller caller{
        .op_count = kOpCount, .tensor_bytes = sizeof(Tensor), .context_bytes = sizeof(Context)};
    const auto entry = reinterpret_cast<BackendEntry>(dlsym(library, kBackendEntryName));
    const DeviceBackend* backend = entry == nullptr ? nullptr : entry(&caller);
    if (backend == nullptr) why = path.string() + " belongs to another build of kiln";
    return backend;
  }
  why = name + " is neither beside the program nor in ../lib";
  return nullptr;
}

// Asks the driver itself, so that a machine without a GPU never opens the plug-in.
int driver_device_count(std::string& why) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
    why = "no NVIDIA driver (libcuda.so.1)";
    return 0;
  }
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  int devices = 0;
  const int status = init == nullptr || count == nullptr ? -1 : init(0);
  if (status != 0 || count(&devices) != 0) {
    why = "the NVIDIA driver does not start (cuInit: " + std::to_string(status) + ")";
    return 0;
  }
  if (devices == 0) why = "the NVIDIA driver reports no device";
  return devices;
}

}  // namespace

std::optional<Device> load_device(DeviceType type, int index, std::string& why) {
  if (type == DeviceType::cpu) return Device{};
  if (type == DeviceType::cuda && driver_device_count(why) == 0) return std::nullopt;
  const DeviceBackend* backend =
      open_plugin(type == DeviceType::cuda ? "libkiln_cuda.so" : "libkiln_emu.so", why);
  if (backend == nullptr) return std::nullopt;
  const int count = backend->device_count();
  if (index < 0 || index >= count) {
    why = "there " +
          std::string(count == 1 ? "is 1 device" : "are " + std::to_string(count) + " devices") +
          ", counted from 0";
    return std::nullopt;
  }
  return Device{type, index, backend};
}

}  // namespace kiln
