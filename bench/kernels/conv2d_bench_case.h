// Convolution benchmarks run every shape under each provider that computes it.
#pragma once

#include <memory>
#include <string>

#include "bench/kernels/verify.h"
#include "kernels/include/conv2d_provider.h"

namespace kiln::bench {

// The shape with another batch. A batch for verification is cut to one image where the oracle would
// take seconds.
inline Conv2dShape with_images(Conv2dShape shape, std::int64_t image_count) {
  constexpr std::int64_t kSlowOracle = 5'000'000;
  shape.n = 1;
  if (image_count > kVerifiedCount || shape.multiply_count() < kSlowOracle) shape.n = image_count;
  return shape;
}

// Depthwise, which the rule of docs/decisions.md gives to oneDNN.
inline Named<Conv2dShape> depthwise_conv() {
  return {"depthwise_64_at32/n64",
          {.n = 64,
           .h = 32,
           .w = 32,
           .c = 64,
           .k = 64,
           .r = 3,
           .s = 3,
           .pad_h = 1,
           .pad_w = 1,
           .groups = 64}};
}

// What the convolution benchmarks run on.
inline std::vector<Named<Conv2dShape>> benched_convs() {
  std::vector<Named<Conv2dShape>> all = all_convs();
  all.push_back(depthwise_conv());
  return all;
}

inline Conv2dProblem problem_of(const Context& c, const Conv2dShape& shape) {
  return {.shape = shape, .dtype = element_type(), .thread_count = c.pool().thread_count()};
}

inline std::shared_ptr<test::OwnedTensor> shared_scratch(std::size_t size_bytes) {
  return shared_output({static_cast<std::int64_t>(size_bytes)}, DType::u8);
}

inline std::byte* start_of(const test::OwnedTensor& scratch) {
  return static_cast<std::byte*>(scratch.view().raw());
}

// Own kernels, or the library's: oneDNN on the CPU, cuDNN on a GPU. On the CPU own kernels are the
// direct ones, and Winograd's.
enum class ConvChoice { own, winograd, library };

inline Conv2dProviders conv2d_providers(Context& c, ConvChoice choice) {
  const bool own = choice != ConvChoice::library;
  if (c.device().is_host())
    return make_cpu_conv2d_providers(
        c.log(), own ? CpuConv2dChoice::own : CpuConv2dChoice::onednn,
        choice == ConvChoice::winograd ? CpuConv2dAlgorithm::winograd : CpuConv2dAlgorithm::direct);
  return make_device_conv2d_providers(
      c.device(), c.log(),
      {.choice = own ? DeviceConv2dChoice::own : DeviceConv2dChoice::cudnn, .autotune = !own});
}

// Whether the oneDNN plug-in takes dense convolutions here; without it only own kernels are timed.
inline bool onednn_present() {
  Log log(stderr, LogLevel::quiet);
  auto providers = make_cpu_conv2d_providers(log, CpuConv2dChoice::onednn);
  const Conv2dProblem problem{.shape = {.n = 1, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3}};
  return !providers.forward(problem)->algorithm().starts_with("direct");
}

// Calls body(suffix, choice) for the providers to compare.
template <class Body>
void for_each_choice(const Body& body) {
  body("/own", ConvChoice::own);
  if (!on_device()) body("/winograd", ConvChoice::winograd);
  if (on_device())
    body("/cudnn", ConvChoice::library);
  else if (onednn_present())
    body("/onednn", ConvChoice::library);
}

// Empty, or why a case would time own direct kernels again.
inline std::string skip_reason(ConvChoice choice, std::string_view algorithm,
                               std::string_view own_algorithm) {
  if (choice == ConvChoice::winograd && algorithm == own_algorithm)
    return "not a problem for Winograd's algorithm";
  if (!on_device() || choice == ConvChoice::own || algorithm != own_algorithm) return "";
  return "cuDNN is not there or has no plan";
}

}  // namespace kiln::bench
