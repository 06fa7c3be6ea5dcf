#include "bench/kernels/verify.h"
#include "kernels/include/sgd_step.h"
#include "tests/reference/sgd_step.h"

namespace kiln::bench {
namespace {

constexpr std::int64_t kVerifiedParameters = 1003;

// Parameter counts of LeNet and of ResNet-18 in its CIFAR form.
std::vector<Named<Shape>> parameters() { return {{"lenet", {62006}}, {"resnet18", {11173962}}}; }

Case sgd_case(Context& c, const Shape& shape) {
  const auto w = shared_random(shape, 1, -1, 1, DType::f32), grad = shared_random(shape, 2);
  const auto copy = shared_copy(shape);
  const auto buffer = shared_random(shape, 3, -1, 1, DType::f32);
  const Values w_before = shape.element_count() <= kVerifiedParameters ? w->values() : Values{};
  return {.work = {.flops = 6.0 * static_cast<double>(shape.element_count()),
                   .read_bytes = 2 * bytes_of(*w) + bytes_of(*grad),
                   .write_bytes = 2 * bytes_of(*w) + bytes_of(copy)},
          .run =
              [&c, w, grad, buffer, copy] {
                sgd_step(c, {.w = *w,
                             .grad = *grad,
                             .momentum_buffer = *buffer,
                             .copy = view_of(copy),
                             .lr = 1e-6,
                             .momentum = 0.9,
                             .weight_decay = 5e-4});
              },
          .fault =
              [shape, w, grad, w_before] {
                Values wanted = w_before, b = shared_random(shape, 3, -1, 1, DType::f32)->values();
                reference::sgd({.lr = 1e-6, .momentum = 0.9, .weight_decay = 5e-4}, wanted,
                               grad->values(), b);
                return fault_of(*w, wanted, 4e-7);
              }};
}

const Registrar kSgd([] {
  for (const auto& [name, shape] : parameters()) {
    add_case(
        "sgd_step", name, shape[0],
        [s = shape](Context& c, std::int64_t n) { return sgd_case(c, with_count(s, n)); },
        kVerifiedParameters);
  }
});

}  // namespace
}  // namespace kiln::bench
