// Convolutions on a device: by cuDNN where it is there, else by the kernels of the device's
// plug-in: on tensor cores where those take the problem, else by the direct ones, which take every
// shape and need no scratch memory.
#include "kernels/common/conv2d_implicit_gemm_provider.h"
#include "kernels/common/cudnn_library.h"
#include "kernels/include/conv2d_provider.h"

namespace kiln {
namespace {

constexpr std::string_view kAlgorithm = "direct, one thread an output";

// 16-bit elements are summed in f32.
bool takes(DType dtype) { return dtype == DType::f32 || dtype == DType::f64 || is_16_bit(dtype); }

class DirectForward final : public Conv2dForward {
 public:
  std::size_t scratch_bytes() const override { return 0; }
  std::string_view algorithm() const override { return kAlgorithm; }
  void run(Context& context, const Conv2dArgs& args) override { conv2d(context, args); }
};

class DirectBackward final : public Conv2dBackward {
 public:
  std::size_t scratch_bytes() const override { return 0; }
  std::string_view algorithm() const override { return kAlgorithm; }
  void run(Context& context, const Conv2dGradArgs& args) override { conv2d_grad(context, args); }
};

class DirectProvider final : public Conv2dProvider {
 public:
  std::string_view name() const override { return "own"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    if (!takes(problem.dtype)) return nullptr;
    return std::make_unique<DirectForward>();
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    if (!takes(problem.dtype)) return nullptr;
    return std::make_unique<DirectBackward>();
  }
};

}  // namespace

DeviceConv2dChoice parse_device_conv2d_choice(std::string_view name) {
  if (name == "automatic" || name == "auto") return DeviceConv2dChoice::automatic;
  if (name == "own") return DeviceConv2dChoice::own;
  if (name == "cudnn") return DeviceConv2dChoice::cudnn;
  throw Error(ErrorKind::usage, printable(name), "is no choice of convolution kernels on a device",
              "use auto, own or cudnn");
}

Conv2dProviders make_device_conv2d_providers(Device device, Log& log,
                                             const DeviceConv2dOptions& options) {
  std::vector<std::unique_ptr<Conv2dProvider>> ordered;
  const bool automatic = options.choice == DeviceConv2dChoice::automatic;
  if (options.choice == DeviceConv2dChoice::cudnn || (automatic && device.type == DeviceType::cuda))
    ordered.push_back(make_cudnn_conv2d_provider(device, log, options));
  ordered.push_back(make_implicit_gemm_provider());
  ordered.push_back(std::make_unique<DirectProvider>());
  return {device, std::move(ordered), log};
}

}  // namespace kiln
