// For static programs, which cannot open plug-ins.
#include "kernels/common/cudnn_library.h"

namespace kiln {
namespace {

class NoCudnn final : public Conv2dProvider {
 public:
  std::string_view name() const override { return "cuDNN"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem&) override { return nullptr; }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem&) override { return nullptr; }
};

}  // namespace

std::unique_ptr<Conv2dProvider> make_cudnn_conv2d_provider(Device device, Log& log,
                                                           const DeviceConv2dOptions&) {
  log.once("cuDNN is not used on " + to_string(device) + ": this program is linked statically");
  return std::make_unique<NoCudnn>();
}

}  // namespace kiln
