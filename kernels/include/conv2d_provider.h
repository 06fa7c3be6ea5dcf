// Convolutions by provider. A provider is one way to compute a convolution: our own kernels, or a
// library. What it returns is an object, because libraries keep primitives and packed weights.
//
//   Conv2dProviders providers = make_cpu_conv2d_providers(log);
//   auto forward = providers.forward(problem);            // at plan time: may allocate
//   planner books forward->scratch_bytes();
//   forward->run(context, {.shape = ..., .scratch = ...}); // in a step: never allocates
//
// The choice follows a fixed rule per problem (docs/decisions.md) or one that was kept, never a
// timing of this run alone: equal seeds must give equal bits. It may look at N, so a picture's bits
// may depend on the batch that was planned for, if not on what else is in it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/log.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln {

// All that a choice may depend on. The context that runs an object must have the same thread count
// and determinism, and the arguments the same shape, dtype, activation, bias and ways to write.
struct Conv2dProblem {
  Conv2dShape shape;
  DType dtype = DType::f32;
  Activation activation = Activation::none;  // of the forward pass
  bool has_bias = true;
  bool deterministic = false;
  int thread_count = 1;
  // Of the backward pass: what becomes of dx, and whether dw and dbias are added to. Where a
  // provider makes such gradients in scratch memory first, only those that say so are given any.
  GradWrite dx = GradWrite::overwrite;
  bool accumulate_parameters = false;
  bool wants_dx() const { return dx != GradWrite::skip; }
};

class Conv2dForward {
 public:
  virtual ~Conv2dForward() = default;
  virtual std::size_t scratch_bytes() const = 0;
  // Such as "direct 12x32 avx512".
  virtual std::string_view algorithm() const = 0;
  virtual void run(Context& context, const Conv2dArgs& args) = 0;
};

// dx (unless skipped), dw and dbias in one call; contract: kernels/include/conv2d_grad.h.
class Conv2dBackward {
 public:
  virtual ~Conv2dBackward() = default;
  virtual std::size_t scratch_bytes() const = 0;
  virtual std::string_view algorithm() const = 0;
  virtual void run(Context& context, const Conv2dGradArgs& args) = 0;
};

class Conv2dProvider {
 public:
  virtual ~Conv2dProvider() = default;
  virtual std::string_view name() const = 0;
  // nullptr: the problem is not taken.
  virtual std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) = 0;
  virtual std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) = 0;
};

// An ordered list: the first provider that takes a problem computes it.
class Conv2dProviders {
 public:
  // `log` must outlive the list.
  Conv2dProviders(Device device, std::vector<std::unique_ptr<Conv2dProvider>> ordered, Log& log);

  // Logs shape, provider and algorithm once per shape. Throws Error (unsupported) naming shape,
  // dtype and device where nobody takes the problem. The result may outlive this list.
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem);
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem);

 private:
  void log_choice(const Conv2dProblem& problem, std::string_view pass, std::string_view provider,
                  std::string_view algorithm);
  [[noreturn]] void refuse(const Conv2dProblem& problem) const;

  Device device_;
  std::vector<std::unique_ptr<Conv2dProvider>> ordered_;
  Log* log_;
};

enum class CpuConv2dChoice {
  automatic,  // the rule of docs/decisions.md
  own,        // own kernels for everything
  onednn,     // oneDNN wherever it can; own kernels for the rest
};

// Throws Error (usage) for a name other than automatic (or auto), own and onednn.
CpuConv2dChoice parse_cpu_conv2d_choice(std::string_view name);

// The algorithm of the CPU's own kernels of f32 and bf16.
enum class CpuConv2dAlgorithm {
  automatic,  // the rule of docs/decisions.md
  direct,     // the definition's sums
  winograd,   // Winograd's algorithm for every 3x3 problem of stride 1 in one group
  measured,   // of all that take a problem the fastest here, timed once and kept on the disk
};

// Throws Error (usage) for a name other than automatic (or auto), direct, winograd and measure.
CpuConv2dAlgorithm parse_cpu_conv2d_algorithm(std::string_view name);

// The providers of this build for the CPU. The oneDNN plug-in is looked for only when a problem
// comes that is oneDNN's to compute; where it is absent one line says so and own kernels take over.
Conv2dProviders make_cpu_conv2d_providers(
    Log& log, CpuConv2dChoice choice = CpuConv2dChoice::automatic,
    CpuConv2dAlgorithm algorithm = CpuConv2dAlgorithm::automatic);

enum class DeviceConv2dChoice {
  automatic,  // on a GPU cuDNN where it has a plan; own kernels for the rest, and everywhere else
  own,        // own kernels for everything
  cudnn,      // as automatic; where cuDNN is not used, a line says so on every device
};

struct DeviceConv2dOptions {
  DeviceConv2dChoice choice = DeviceConv2dChoice::automatic;
  bool tf32 = false;      // cuDNN may round the factors of f32 products to 10 bits of mantissa
  bool autotune = false;  // cuDNN's plans are timed once and the choice kept on the disk
};

// Throws Error (usage) for a name other than automatic (or auto), own and cudnn.
DeviceConv2dChoice parse_device_conv2d_choice(std::string_view name);

// The providers for another device: cuDNN's plug-in, which is looked for with the first problem on
// a GPU, and the device's own direct kernels. Where the plug-in is absent one line says so.
Conv2dProviders make_device_conv2d_providers(Device device, Log& log,
                                             const DeviceConv2dOptions& options = {});

}  // namespace kiln
