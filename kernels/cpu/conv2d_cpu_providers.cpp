#include <cstdlib>

#include "kernels/cpu/conv2d_measured_provider.h"
#include "kernels/cpu/conv2d_onednn_provider.h"
#include "kernels/cpu/conv2d_own_provider.h"
#include "kernels/cpu/conv2d_winograd_provider.h"
#include "kernels/include/conv2d_provider.h"

namespace kiln {

CpuConv2dChoice parse_cpu_conv2d_choice(std::string_view name) {
  if (name == "automatic" || name == "auto") return CpuConv2dChoice::automatic;
  if (name == "own") return CpuConv2dChoice::own;
  if (name == "onednn") return CpuConv2dChoice::onednn;
  throw Error(ErrorKind::usage, printable(name), "is no choice of convolution kernels",
              "use auto, own or onednn");
}

CpuConv2dAlgorithm parse_cpu_conv2d_algorithm(std::string_view name) {
  if (name == "automatic" || name == "auto") return CpuConv2dAlgorithm::automatic;
  if (name == "direct") return CpuConv2dAlgorithm::direct;
  if (name == "winograd") return CpuConv2dAlgorithm::winograd;
  if (name == "measure") return CpuConv2dAlgorithm::measured;
  throw Error(ErrorKind::usage, printable(name), "is no convolution algorithm",
              "use auto, direct, winograd or measure");
}

Conv2dProviders make_cpu_conv2d_providers(Log& log, CpuConv2dChoice choice,
                                          CpuConv2dAlgorithm algorithm) {
  const bool measured = algorithm == CpuConv2dAlgorithm::measured;
  std::vector<std::unique_ptr<Conv2dProvider>> ordered;
  if (choice != CpuConv2dChoice::own)
    ordered.push_back(cpu::make_onednn_conv2d_provider(log, choice));
  if (algorithm != CpuConv2dAlgorithm::direct)
    ordered.push_back(
        cpu::make_winograd_conv2d_provider(measured ? CpuConv2dAlgorithm::automatic : algorithm));
  // The last takes every type; one of other arithmetic for some shapes stands before it.
  ordered.push_back(cpu::make_own_conv2d_provider());
  if (!measured) return {Device{}, std::move(ordered), log};
  ordered.push_back(cpu::make_winograd_conv2d_provider(CpuConv2dAlgorithm::winograd));
  std::vector<std::unique_ptr<Conv2dProvider>> one;
  one.push_back(cpu::make_measured_conv2d_provider(
      std::move(ordered), cache_folder([](const char* name) { return std::getenv(name); }), log));
  return {Device{}, std::move(one), log};
}

}  // namespace kiln
