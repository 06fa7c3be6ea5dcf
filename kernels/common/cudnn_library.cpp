#include "kernels/common/cudnn_library.h"

#include <dlfcn.h>
#include <filesystem>
#include <system_error>

#include "kernels/cudnn/cudnn_plugin.h"

namespace kiln {
namespace {

// Null with the reason in `why`.
const CudnnPlugin* load_cudnn(std::string& why) {
  std::error_code failed;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
  for (const auto& place : {folder, folder / ".." / "lib"}) {
    const auto path = place / "libkiln_cudnn.so";
    if (!std::filesystem::exists(path, failed)) continue;
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      why = dlerror();
      return nullptr;
    }
    const CudnnCaller caller;
    const auto entry = reinterpret_cast<CudnnEntry>(dlsym(library, kCudnnEntryName));
    const CudnnPlugin* plugin = entry == nullptr ? nullptr : entry(&caller);
    if (plugin == nullptr) why = path.string() + " belongs to another build of kiln";
    return plugin;
  }
  why = "libkiln_cudnn.so is neither beside the program nor in ../lib";
  return nullptr;
}

class CudnnLoader final : public Conv2dProvider {
 public:
  CudnnLoader(Device device, Log& log, const DeviceConv2dOptions& options)
      : device_(device), log_(&log), options_(options) {}
  std::string_view name() const override { return provider_ ? provider_->name() : "cuDNN"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    Conv2dProvider* provider = loaded();
    return provider != nullptr ? provider->forward(problem) : nullptr;
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    Conv2dProvider* provider = loaded();
    return provider != nullptr ? provider->backward(problem) : nullptr;
  }

 private:
  Conv2dProvider* loaded() {
    if (!looked_) {
      looked_ = true;
      const std::string why = load();
      if (!provider_) log_->once("cuDNN is not used, own kernels are: " + why);
    }
    return provider_.get();
  }
  // The reason where there is no provider then.
  std::string load() {
    if (device_.type != DeviceType::cuda) return to_string(device_) + " is no GPU";
    std::string why;
    const CudnnPlugin* plugin = load_cudnn(why);
    if (plugin == nullptr) return why;
    try {
      provider_ = plugin->make_provider(device_, *log_, options_);
    } catch (const Error& error) {
      why = error.what();
    }
    return why;
  }

  Device device_;
  Log* log_;
  DeviceConv2dOptions options_;
  bool looked_ = false;
  std::unique_ptr<Conv2dProvider> provider_;
};

}  // namespace

std::unique_ptr<Conv2dProvider> make_cudnn_conv2d_provider(Device device, Log& log,
                                                           const DeviceConv2dOptions& options) {
  return std::make_unique<CudnnLoader>(device, log, options);
}

}  // namespace kiln
