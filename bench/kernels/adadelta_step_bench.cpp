#include "bench/kernels/verify.h"
#include "kernels/include/adadelta_step.h"
#include "tests/reference/adadelta_step.h"

namespace kiln::bench {
namespace {

constexpr std::int64_t kVerifiedParameters = 1003;

// Parameter counts of LeNet and of ResNet-18 in its CIFAR form.
std::vector<Named<Shape>> parameters() { return {{"lenet", {62006}}, {"resnet18", {11173962}}}; }

Case adadelta_case(Context& c, const Shape& shape) {
  const auto w = shared_random(shape, 1, -1, 1, DType::f32), grad = shared_random(shape, 2);
  const auto copy = shared_copy(shape);
  const auto square = shared_random(shape, 3, 0, 1, DType::f32),
             acc = shared_random(shape, 4, 0, 1, DType::f32);
  const Values w_before = shape.element_count() <= kVerifiedParameters ? w->values() : Values{};
  return {.work = {.flops = 12.0 * static_cast<double>(shape.element_count()),
                   .read_bytes = 3 * bytes_of(*w) + bytes_of(*grad),
                   .write_bytes = 3 * bytes_of(*w) + bytes_of(copy)},
          .run =
              [&c, w, grad, square, acc, copy] {
                adadelta_step(c, {.w = *w,
                                  .grad = *grad,
                                  .square_avg = *square,
                                  .acc_delta = *acc,
                                  .copy = view_of(copy),
                                  .lr = 1e-6});
              },
          .fault =
              [shape, w, grad, w_before] {
                Values wanted = w_before, s = shared_random(shape, 3, 0, 1, DType::f32)->values();
                Values a = shared_random(shape, 4, 0, 1, DType::f32)->values();
                reference::adadelta(1e-6, 0.9, 1e-6, 0, wanted, grad->values(), s, a);
                return fault_of(*w, wanted, 1e-6);
              }};
}

const Registrar kAdadelta([] {
  for (const auto& [name, shape] : parameters()) {
    add_case(
        "adadelta_step", name, shape[0],
        [s = shape](Context& c, std::int64_t n) { return adadelta_case(c, with_count(s, n)); },
        kVerifiedParameters);
  }
});

}  // namespace
}  // namespace kiln::bench
