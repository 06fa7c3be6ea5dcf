#include "kernels/include/conv2d_provider.h"

#include <utility>

namespace kiln {

Conv2dProviders::Conv2dProviders(Device device,
                                 std::vector<std::unique_ptr<Conv2dProvider>> ordered, Log& log)
    : device_(device), ordered_(std::move(ordered)), log_(&log) {}

std::unique_ptr<Conv2dForward> Conv2dProviders::forward(const Conv2dProblem& problem) {
  check(problem.shape);
  for (const auto& provider : ordered_) {
    auto taken = provider->forward(problem);
    if (!taken) continue;
    log_choice(problem, "forward", provider->name(), taken->algorithm());
    return taken;
  }
  refuse(problem);
}

std::unique_ptr<Conv2dBackward> Conv2dProviders::backward(const Conv2dProblem& problem) {
  check(problem.shape);
  for (const auto& provider : ordered_) {
    auto taken = provider->backward(problem);
    if (!taken) continue;
    log_choice(problem, problem.wants_dx() ? "backward" : "backward without dx", provider->name(),
               taken->algorithm());
    return taken;
  }
  refuse(problem);
}

void Conv2dProviders::log_choice(const Conv2dProblem& problem, std::string_view pass,
                                 std::string_view provider, std::string_view algorithm) {
  std::string line = "conv2d " + to_string(problem.shape) + ", " + std::string(pass) + ": ";
  line += provider;
  line += ", ";
  line += algorithm;
  log_->once(line);
}

void Conv2dProviders::refuse(const Conv2dProblem& problem) const {
  throw Error(ErrorKind::unsupported,
              "convolution " + to_string(problem.shape) + " of " +
                  std::string(name_of(problem.dtype)) + " on " + to_string(device_),
              "is taken by no provider of this build");
}

}  // namespace kiln
