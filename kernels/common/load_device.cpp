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

struct Driver {
  int devices = 0;
  int version = 0;  // 1000 major + 10 minor of the newest CUDA that it knows; 0: it does not say
};

// What to do about a cuInit that failed. The numbers are CUresult's.
std::string start_fault(int status) {
  const std::string text =
      "the NVIDIA driver does not start (cuInit: " + std::to_string(status) + ")";
  switch (status) {
    case 100:
      return "the NVIDIA driver reports no device";
    case 803:
      return text +
             ": its library and its kernel module are of different versions; restart the machine";
    case 804:
      return text +
             ": it is too old for the CUDA compatibility package that is installed; update the "
             "driver";
    default:
      return text + "; see whether nvidia-smi works";
  }
}

// Asks the driver itself, so that a machine without a GPU never opens the plug-in.
Driver ask_driver(std::string& why) {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    why = "no NVIDIA driver (libcuda.so.1)";
    return {};
  }
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(library, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDeviceGetCount"));
  const auto version = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDriverGetVersion"));
  Driver driver;
  if (init == nullptr || count == nullptr) {
    why = "libcuda.so.1 is no NVIDIA driver: it has no cuInit";
    return {};
  }
  if (const int status = init(0); status != 0) {
    why = start_fault(status);
    return {};
  }
  if (count(&driver.devices) != 0 || driver.devices == 0) {
    why = "the NVIDIA driver reports no device";
    return {};
  }
  if (version == nullptr || version(&driver.version) != 0) driver.version = 0;
  return driver;
}

std::string counted(int count) {
  return std::to_string(count) + (count == 1 ? " device" : " devices");
}

// The driver has devices and CUDA's runtime in the plug-in sees none.
std::string unusable(const Driver& driver) {
  return "the NVIDIA driver has " + counted(driver.devices) +
         ", but this build of kiln can use none: the driver is for CUDA " +
         std::to_string(driver.version / 1000) + "." + std::to_string(driver.version % 1000 / 10) +
         ", probably too old; update it";
}

}  // namespace

std::optional<Device> load_device(DeviceType type, int index, std::string& why) {
  if (type == DeviceType::cpu) return Device{};
  Driver driver;
  if (type == DeviceType::cuda) {
    driver = ask_driver(why);
    if (driver.devices == 0) return std::nullopt;
  }
  const DeviceBackend* backend =
      open_plugin(type == DeviceType::cuda ? "libkiln_cuda.so" : "libkiln_emu.so", why);
  if (backend == nullptr) return std::nullopt;
  const int count = backend->device_count();
  if (count == 0 && type == DeviceType::cuda) {
    why = unusable(driver);
    return std::nullopt;
  }
  if (index < 0 || index >= count) {
    why =
        std::string(count == 1 ? "there is " : "there are ") + counted(count) + ", counted from 0";
    return std::nullopt;
  }
  return Device{type, index, backend};
}

}  // namespace kiln
