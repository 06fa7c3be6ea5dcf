#include "kernels/include/adam_step.h"

#include <cmath>

#include "kernels/common/mixed_step_check.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/optimizer_copy.h"
#include "kernels/cpu/optimizer_simd.h"

namespace kiln {

void check(const AdamStepArgs& a) {
  require_gradient("adam_step", a.w, a.grad, a.copy, a.loss_scale);
  require_alike("adam_step", {"w", a.w}, {{"exp_avg", a.exp_avg}, {"exp_avg_sq", a.exp_avg_sq}});
  require(a.step >= 1, "adam_step", "step counts from 1");
  require(a.beta1 >= 0 && a.beta1 < 1 && a.beta2 >= 0 && a.beta2 < 1, "adam_step",
          "beta must lie in [0, 1)");
  require_no_host_state("adam_step", a.w, a.state);
}

namespace cpu {
namespace {

// The numbers of one step in double, as Python computes them.
struct Factors {
  double minus_step, root;

  explicit Factors(const AdamStepArgs& a)
      : minus_step(-(a.lr / (1 - std::pow(a.beta1, static_cast<double>(a.step))))),
        root(std::sqrt(1 - std::pow(a.beta2, static_cast<double>(a.step)))) {}
};

void step_f32(const AdamStepArgs& a, const Factors& f, Range range) {
  const AdamNumbers numbers{.minus_step = static_cast<float>(f.minus_step),
                            .rest1 = static_cast<float>(1 - a.beta1),
                            .beta2 = static_cast<float>(a.beta2),
                            .rest2 = static_cast<float>(1 - a.beta2),
                            .root = static_cast<float>(f.root),
                            .eps = static_cast<float>(a.eps),
                            .decay = static_cast<float>(a.weight_decay),
                            .shrink = static_cast<float>(1 - a.lr * a.weight_decay),
                            .use_decay = a.weight_decay != 0,
                            .decoupled = a.decoupled};
  KILN_CALL_ISA(adam_f32(numbers, a.w.data<float>() + range.begin,
                         a.grad.data<float>() + range.begin, a.exp_avg.data<float>() + range.begin,
                         a.exp_avg_sq.data<float>() + range.begin, range.count()));
  write_copy(a.w, a.copy, range);
}

// start + weight (end - start), from the nearer end as torch.lerp does.
double lerp(double start, double end, double weight) {
  return weight < 0.5 ? std::fma(weight, end - start, start)
                      : std::fma(start - end, 1 - weight, end);
}

void step_f64(const AdamStepArgs& a, const Factors& f, Range range) {
  double* w = a.w.data<double>();
  const double* grad = a.grad.data<double>();
  double* first = a.exp_avg.data<double>();
  double* second = a.exp_avg_sq.data<double>();
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    double g = grad[i];
    if (a.weight_decay != 0) {
      if (a.decoupled)
        w[i] *= 1 - a.lr * a.weight_decay;
      else
        g = std::fma(a.weight_decay, w[i], g);
    }
    first[i] = lerp(first[i], g, 1 - a.beta1);
    second[i] = std::fma((1 - a.beta2) * g, g, second[i] * a.beta2);
    w[i] += f.minus_step * first[i] / (std::sqrt(second[i]) / f.root + a.eps);
  }
}

}  // namespace

void adam_step(Context& c, const AdamStepArgs& a) {
  const Factors factors(a);
  map_ranges(c, a.w.element_count(), kMapGrain, 16, [&](Range range) {
    a.w.dtype() == DType::f32 ? step_f32(a, factors, range) : step_f64(a, factors, range);
  });
}

}  // namespace cpu
}  // namespace kiln
