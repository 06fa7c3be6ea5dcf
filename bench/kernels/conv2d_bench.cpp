#include "bench/kernels/conv2d_bench_case.h"
#include "tests/reference/conv2d.h"

namespace kiln::bench {
namespace {

Case conv2d_case(Context& c, const Conv2dShape& s, ConvChoice choice) {
  auto providers = conv2d_providers(c, choice);
  const std::shared_ptr<Conv2dForward> conv = providers.forward(problem_of(c, s));
  const auto x = shared_random(s.input(), 1), w = shared_random(s.weights(), 2);
  const auto bias = shared_random({s.k}, 3), y = shared_output(s.output());
  const auto scratch = shared_scratch(conv->scratch_bytes());
  return {.work = {.flops = 2.0 * static_cast<double>(s.multiply_count()),
                   .read_bytes = bytes_of(*x) + bytes_of(*w),
                   .write_bytes = bytes_of(*y)},
          .run =
              [=, &c] {
                conv->run(c, {.shape = s,
                              .x = *x,
                              .w = *w,
                              .bias = *bias,
                              .y = *y,
                              .scratch = start_of(*scratch)});
              },
          .fault =
              [=] {
                return fault_of(*y,
                                reference::conv2d(s, x->values(), w->values(), bias->values(),
                                                  Activation::none),
                                1e-5);
              },
          .skipped = skip_reason(
              choice, conv->algorithm(),
              conv2d_providers(c, ConvChoice::own).forward(problem_of(c, s))->algorithm())};
}

const Registrar kConv2d([] {
  for_each_choice([](const std::string& suffix, ConvChoice choice) {
    for (const auto& [name, shape] : benched_convs())
      add_case("conv2d", name + suffix, shape.n, [s = shape, choice](Context& c, std::int64_t n) {
        return conv2d_case(c, with_images(s, n), choice);
      });
  });
});

}  // namespace
}  // namespace kiln::bench
