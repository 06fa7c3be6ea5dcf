#include "bench/kernels/verify.h"
#include "kernels/include/adam_step.h"
#include "tests/reference/adam_step.h"

namespace kiln::bench {
namespace {

constexpr std::int64_t kVerifiedParameters = 1003;

// Parameter counts of LeNet and of ResNet-18 in its CIFAR form.
std::vector<Named<Shape>> parameters() { return {{"lenet", {62006}}, {"resnet18", {11173962}}}; }

Case adam_case(Context& c, const Shape& shape) {
  const auto w = shared_random(shape, 1, -1, 1, DType::f32), grad = shared_random(shape, 2);
  const auto copy = shared_copy(shape);
  const auto first = shared_random(shape, 3, -1, 1, DType::f32),
             second = shared_random(shape, 4, 0, 1, DType::f32);
  const Values w_before = shape.element_count() <= kVerifiedParameters ? w->values() : Values{};
  return {.work = {.flops = 14.0 * static_cast<double>(shape.element_count()),
                   .read_bytes = 3 * bytes_of(*w) + bytes_of(*grad),
                   .write_bytes = 3 * bytes_of(*w) + bytes_of(copy)},
          .run =
              [&c, w, grad, first, second, copy] {
                adam_step(c, {.w = *w,
                              .grad = *grad,
                              .exp_avg = *first,
                              .exp_avg_sq = *second,
                              .copy = view_of(copy),
                              .lr = 1e-6,
                              .step = 10});
              },
          .fault =
              [shape, w, grad, w_before] {
                Values wanted = w_before, m = shared_random(shape, 3, -1, 1, DType::f32)->values();
                Values v = shared_random(shape, 4, 0, 1, DType::f32)->values();
                reference::adam({.lr = 1e-6, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 10},
                                wanted, grad->values(), m, v);
                return fault_of(*w, wanted, 1e-6);
              }};
}

const Registrar kAdam([] {
  for (const auto& [name, shape] : parameters()) {
    add_case(
        "adam_step", name, shape[0],
        [s = shape](Context& c, std::int64_t n) { return adam_case(c, with_count(s, n)); },
        kVerifiedParameters);
  }
});

}  // namespace
}  // namespace kiln::bench
