// Convolutions on tensor cores: verified, then timed, in TFLOP/s and as a fraction of the measured
// peak of mma.sync.
//
//   kiln-bench-tensor-core [BATCH]      on the first CUDA device; 77 where there is none
//   kiln-bench-tensor-core --emu        one tiny shape on device emu, verified and not timed
//
// Every result is compared with plain sums in double at 200 of its elements, at the shape that is
// timed, because the shape chooses the kernel. Inputs of the 7x7 layers fit into the cache of a
// large GPU and stay there between the calls. Not yet run on a GPU.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "bench/cuda/mma_peak.h"
#include "bench/shapes.h"
#include "engine/core/buffer.h"
#include "engine/core/rng.h"
#include "engine/core/transfer.h"
#include "kernels/include/conv2d_provider.h"
#include "kernels/include/load_device.h"

namespace kiln::bench {
namespace {

constexpr int kSamples = 200;

// A tensor of bf16 (or f32) on the device with a copy here.
class DeviceTensor {
 public:
  DeviceTensor(Device device, const Shape& shape, std::uint64_t seed)
      : shape_(shape),
        here_(static_cast<std::size_t>(shape.element_count())),
        there_(device, here_.size() * 2) {
    RandomSequence sequence(seed, RandomStream::synthesise, 0);
    std::vector<BFloat16> some(4099);
    for (BFloat16& value : some) value = to_bfloat16(sequence.next_uniform(-1, 1));
    for (std::size_t i = 0; i < here_.size(); ++i) here_[i] = some[i % some.size()];
    copy_to_device(device, there_.data(), here_.data(), here_.size() * 2);
  }
  Tensor view() const { return {there_.data(), shape_, DType::bf16, there_.device()}; }
  void fetch() { copy_to_host(there_.device(), here_.data(), there_.data(), here_.size() * 2); }
  double at(std::int64_t i) const {
    return static_cast<double>(to_float(here_[static_cast<std::size_t>(i)]));
  }
  std::int64_t count() const { return shape_.element_count(); }

 private:
  Shape shape_;
  std::vector<BFloat16> here_;
  Buffer there_;
};

// The tensors of one shape, and single elements of its three results as plain sums.
struct Problem {
  Problem(Device device, const Conv2dShape& shape)
      : s(shape),
        x(device, s.input(), 1),
        w(device, s.weights(), 2),
        dy(device, s.output(), 3),
        y(device, s.output(), 4),
        dx(device, s.input(), 5),
        dw(device, s.weights(), 6) {}

  // The input place along one axis, or -1.
  static std::int64_t place(std::int64_t out, std::int64_t tap, std::int64_t stride,
                            std::int64_t pad, std::int64_t dilation, std::int64_t extent) {
    const std::int64_t in = out * stride - pad + tap * dilation;
    return in < 0 || in >= extent ? -1 : in;
  }
  std::int64_t input_at(std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t r,
                        std::int64_t t, std::int64_t c) const {
    const std::int64_t h = place(p, r, s.stride_h, s.pad_h, s.dilation_h, s.h);
    const std::int64_t v = place(q, t, s.stride_w, s.pad_w, s.dilation_w, s.w);
    return h < 0 || v < 0 ? -1 : ((n * s.h + h) * s.w + v) * s.c + c;
  }
  double y_at(std::int64_t i) const {
    const std::int64_t k = i % s.k, q = i / s.k % s.q(), p = i / s.k / s.q() % s.p();
    const std::int64_t n = i / s.k / s.q() / s.p();
    double sum = 0;
    for (std::int64_t j = 0; j < s.r * s.s * s.c; ++j) {
      const std::int64_t from = input_at(n, p, q, j / s.c / s.s, j / s.c % s.s, j % s.c);
      if (from >= 0) sum += x.at(from) * w.at(k * s.r * s.s * s.c + j);
    }
    return sum;
  }
  double dw_at(std::int64_t i) const {
    const std::int64_t taps = s.r * s.s, c = i % s.c, tap = i / s.c % taps, k = i / s.c / taps;
    double sum = 0;
    for (std::int64_t j = 0; j < s.n * s.p() * s.q(); ++j) {
      const std::int64_t q = j % s.q(), p = j / s.q() % s.p(), n = j / s.q() / s.p();
      const std::int64_t from = input_at(n, p, q, tap / s.s, tap % s.s, c);
      if (from >= 0) sum += x.at(from) * dy.at(j * s.k + k);
    }
    return sum;
  }
  double dx_at(std::int64_t i) const {
    const std::int64_t c = i % s.c, n = i / s.c / s.w / s.h;
    double sum = 0;
    for (std::int64_t j = 0; j < s.r * s.s * s.p() * s.q(); ++j) {
      const std::int64_t q = j % s.q(), p = j / s.q() % s.p(), tap = j / s.q() / s.p();
      if (input_at(n, p, q, tap / s.s, tap % s.s, c) != i) continue;
      for (std::int64_t k = 0; k < s.k; ++k)
        sum +=
            dy.at(((n * s.p() + p) * s.q() + q) * s.k + k) * w.at((k * s.r * s.s + tap) * s.c + c);
    }
    return sum;
  }

  Conv2dShape s;
  DeviceTensor x, w, dy, y, dx, dw;
};

// Whether `kSamples` elements agree: to half a unit of bf16 of each, and to 1e-4 of the sum of
// sizes that f32 sums of random signs may lose.
bool verified(const char* what, DeviceTensor& got,
              const std::function<double(std::int64_t)>& wanted, double length) {
  got.fetch();
  for (int sample = 0; sample < kSamples; ++sample) {
    const std::int64_t i = (sample * 7919 + 13) * (got.count() / kSamples + 1) % got.count();
    const double expected = wanted(i), error = std::fabs(got.at(i) - expected);
    if (error <= 0x1p-8 * std::fabs(expected) + 1e-4 * std::sqrt(length)) continue;
    std::printf("FAILED: %s element %lld is %g instead of %g\n", what, static_cast<long long>(i),
                got.at(i), expected);
    return false;
  }
  return true;
}

// Seconds of one call: as many calls between two waits as take a tenth of a second.
double seconds_of(Device device, const std::function<void()>& call) {
  const auto timed = [&](int calls) {
    device.backend->synchronise(device.index);
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) call();
    device.backend->synchronise(device.index);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  timed(3);
  const int calls = 1 + static_cast<int>(0.1 / (timed(3) / 3 + 1e-6));
  double best = 1e9;
  for (int i = 0; i < 5; ++i) best = std::min(best, timed(calls) / calls);
  return best;
}

struct Bench {
  Context& context;
  Conv2dProviders& providers;
  double peak = 0;  // FLOP/s; 0: nothing is timed

  bool run(const std::string& name, const Conv2dShape& s, bool need_dx) const {
    Problem problem(context.device(), s);
    const Conv2dProblem wanted{.shape = s,
                               .dtype = DType::bf16,
                               .has_bias = false,
                               .dx = need_dx ? GradWrite::overwrite : GradWrite::skip};
    const auto forward = providers.forward(wanted);
    const auto backward = providers.backward(wanted);
    const Buffer scratch(context.device(), std::max<std::size_t>(backward->scratch_bytes(), 64));
    const auto call_forward = [&] {
      forward->run(context, {.shape = s,
                             .x = problem.x.view(),
                             .w = problem.w.view(),
                             .bias = {},
                             .y = problem.y.view()});
    };
    const auto call_backward = [&] {
      backward->run(context, {.shape = s,
                              .x = problem.x.view(),
                              .w = problem.w.view(),
                              .dy = problem.dy.view(),
                              .dx = need_dx ? problem.dx.view() : Tensor{},
                              .dw = problem.dw.view(),
                              .dbias = {},
                              .mode = need_dx ? GradWrite::overwrite : GradWrite::skip,
                              .scratch = scratch.data()});
    };
    call_forward();
    call_backward();
    const auto at = [&problem](double (Problem::*element)(std::int64_t) const) {
      return [&problem, element](std::int64_t i) { return (problem.*element)(i); };
    };
    const auto depth = static_cast<double>(s.r * s.s);
    const double images = static_cast<double>(s.n * s.p() * s.q());
    if (!verified("y", problem.y, at(&Problem::y_at), depth * static_cast<double>(s.c)) ||
        !verified("dw", problem.dw, at(&Problem::dw_at), images) ||
        (need_dx &&
         !verified("dx", problem.dx, at(&Problem::dx_at), depth * static_cast<double>(s.k))))
      return false;
    report(name + " forward", s, 1, forward->algorithm(), call_forward);
    report(name + " backward", s, need_dx ? 2 : 1, backward->algorithm(), call_backward);
    return true;
  }

  void report(const std::string& name, const Conv2dShape& s, int passes, std::string_view algorithm,
              const std::function<void()>& call) const {
    if (peak == 0) {
      std::printf("%-34s verified, not timed; %s\n", name.c_str(), std::string(algorithm).c_str());
      return;
    }
    const double seconds = seconds_of(context.device(), call);
    const double rate = 2.0 * passes * static_cast<double>(s.multiply_count()) / seconds;
    std::printf("%-34s %9.1f us %7.1f TFLOP/s %5.1f %% of the peak; %s\n", name.c_str(),
                seconds * 1e6, rate * 1e-12, 100 * rate / peak, std::string(algorithm).c_str());
  }
};

Conv2dShape square_layer(std::int64_t n, std::int64_t side, std::int64_t channels) {
  return {.n = n,
          .h = side,
          .w = side,
          .c = channels,
          .k = channels,
          .r = 3,
          .s = 3,
          .pad_h = 1,
          .pad_w = 1};
}

int run_all(bool emulated, std::int64_t batch) {
  std::string why;
  const auto device = load_device(emulated ? DeviceType::emu : DeviceType::cuda, 0, why);
  if (!device) {
    std::printf("SKIPPED: no device %s (%s)\n", emulated ? "emu" : "cuda", why.c_str());
    return 77;
  }
  Log log(stderr, LogLevel::quiet);
  ThreadPool pool(1);
  Context context(*device, pool, log);
  Conv2dProviders providers = make_device_conv2d_providers(*device, log);
  std::printf("device %s\n", device->backend->describe(0));
  Bench bench{context, providers};
  if (emulated) return bench.run("tiny", square_layer(2, 5, 16), true) ? 0 : 1;
  bench.peak = measured_mma_peak();
  std::printf("peak of mma.sync bf16: %.1f TFLOP/s; batch %lld\n", bench.peak * 1e-12,
              static_cast<long long>(batch));
  bool good = bench.run("256_at15", square_layer(batch, 15, 256), true);
  good = bench.run("256_at7", square_layer(batch, 7, 256), true) && good;
  for (const auto& [name, shape] : resnet18_convs(batch))
    good = bench.run(name, shape, shape.c > 3) && good;
  return good ? 0 : 1;
}

}  // namespace
}  // namespace kiln::bench

int main(int argc, char** argv) {
  try {
    const bool emulated = argc > 1 && std::strcmp(argv[1], "--emu") == 0;
    const std::int64_t batch = argc > 1 && !emulated ? std::atoll(argv[1]) : 1024;
    if (argc > 2 || batch < 1) {
      std::fprintf(stderr, "usage: kiln-bench-tensor-core [BATCH | --emu]\n");
      return 2;
    }
    return kiln::bench::run_all(emulated, batch);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kiln-bench-tensor-core: %s\n", error.what());
    return 1;
  }
}
