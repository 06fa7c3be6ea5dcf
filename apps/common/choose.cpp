// What the common flags ask for, made. Apart from reading them, which needs CLI11.
#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "engine/core/backend.h"
#include "engine/core/error.h"
#include "engine/core/math_mode.h"
#include "engine/core/thread_pool.h"
#include "kernels/include/load_device.h"

namespace kiln {

int thread_count(const CommonOptions& options) {
  return options.thread_count > 0 ? options.thread_count : ThreadPool::available_cpu_count();
}

LogLevel log_level(const CommonOptions& options) {
  if (options.log_level == "quiet") return LogLevel::quiet;
  return options.log_level == "debug" ? LogLevel::debug : LogLevel::info;
}

namespace {

Device the_cpu(const CommonOptions& options, Log& log, const std::string& reason) {
  const int count = thread_count(options);
  log.info("device: cpu, " + std::to_string(count) + (count == 1 ? " thread, " : " threads, ") +
           instruction_set() + " (" + reason + ")");
  return Device{};
}

}  // namespace

Device choose_device(const CommonOptions& options, Log& log) {
  if (options.device == "cpu") return the_cpu(options, log, "asked for");
  const DeviceType type = options.device == "emu" ? DeviceType::emu : DeviceType::cuda;
  std::string why;
  const std::optional<Device> device = load_device(type, 0, why);
  if (!device && options.device == "auto") return the_cpu(options, log, "no GPU: " + why);
  if (!device)
    throw Error(ErrorKind::unsupported, "--device " + options.device, why, "use --device cpu");
  log.info("device: " + to_string(*device) + ", " + device->backend->describe(0) +
           (options.device == "auto" ? " (first GPU found)" : " (asked for)"));
  return *device;
}

DType choose_storage(const CommonOptions& options, Device device, Log& log) {
  const MathMode mode = parse_math_mode(options.math);
  const DType storage = storage_of(mode);
  if (storage == DType::f16 && device.is_host())
    throw Error(ErrorKind::unsupported, "--math " + options.math, "is not computed on the CPU",
                "use --math bf16 or fp32, or another --device");
  if (is_16_bit(storage))
    log.info("math: " + options.math + " activations and copies of f32 weights, sums in f32" +
             (mode == MathMode::fp16 ? ", scaled loss" : ""));
  if (mode == MathMode::tf32)
    log.info(device.type == DeviceType::cuda && options.conv != "own"
                 ? std::string("math: tf32 for convolutions of cuDNN, fp32 for all the rest")
                 : "math: tf32 asked for; no provider for " + to_string(device) +
                       " has it, computed in fp32");
  return storage;
}

Conv2dProviders make_conv2d_providers(const CommonOptions& options, Device device, Log& log) {
  if (!device.is_host())
    return make_device_conv2d_providers(device, log,
                                        {.choice = parse_device_conv2d_choice(options.conv),
                                         .tf32 = options.math == "tf32",
                                         .autotune = options.autotune == "on"});
  return make_cpu_conv2d_providers(log, parse_cpu_conv2d_choice(options.conv),
                                   parse_cpu_conv2d_algorithm(options.conv_algorithm));
}

}  // namespace kiln
