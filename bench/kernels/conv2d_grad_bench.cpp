// conv2d_grad: dx, dw and dbias. conv2d_grad_dw: without dx, as in the first layer of a network.
#include "bench/kernels/conv2d_bench_case.h"
#include "tests/reference/conv2d.h"

namespace kiln::bench {
namespace {

struct Tensors {
  explicit Tensors(const Conv2dShape& s)
      : x(shared_random(s.input(), 1)),
        w(shared_random(s.weights(), 2)),
        dy(shared_random(s.output(), 3)),
        dx(shared_output(s.input())),
        dw(shared_output(s.weights())),
        dbias(shared_output({s.k})) {}
  std::string fault(const Conv2dShape& s, bool need_dx) const {
    const auto wanted = reference::conv2d_grad(s, x->values(), w->values(), dy->values());
    constexpr double kTolerance = 1e-5;
    std::string found = need_dx ? fault_of(*dx, wanted.dx, kTolerance) : "";
    if (found.empty()) found = fault_of(*dw, wanted.dw, kTolerance);
    return found.empty() ? fault_of(*dbias, wanted.dbias, kTolerance) : found;
  }
  std::shared_ptr<OwnedTensor> x, w, dy, dx, dw, dbias;
};

Case grad_case(Context& c, const Conv2dShape& s, ConvChoice choice, bool need_dx) {
  auto providers = conv2d_providers(c, choice);
  Conv2dProblem problem = problem_of(c, s);
  problem.dx = need_dx ? GradWrite::overwrite : GradWrite::skip;
  const std::shared_ptr<Conv2dBackward> conv = providers.backward(problem);
  const Tensors t(s);
  const auto scratch = shared_scratch(conv->scratch_bytes());
  const double products = need_dx ? 2 : 1;
  return {
      .work = {.flops = products * 2.0 * static_cast<double>(s.multiply_count()),
               .read_bytes = bytes_of(*t.x) + products * bytes_of(*t.dy),
               .write_bytes = (products - 1) * bytes_of(*t.dx) + bytes_of(*t.dw)},
      .run =
          [=, &c] {
            conv->run(c, {.shape = s,
                          .x = *t.x,
                          .w = *t.w,
                          .dy = *t.dy,
                          .dx = need_dx ? t.dx->view() : Tensor{},
                          .dw = *t.dw,
                          .dbias = *t.dbias,
                          .mode = need_dx ? GradWrite::overwrite : GradWrite::skip,
                          .scratch = start_of(*scratch)});
          },
      .fault = [=] { return t.fault(s, need_dx); },
      .skipped = skip_reason(choice, conv->algorithm(),
                             conv2d_providers(c, ConvChoice::own).backward(problem)->algorithm())};
}

const Registrar kConv2dGrad([] {
  for_each_choice([](const std::string& suffix, ConvChoice choice) {
    for (const bool need_dx : {true, false})
      for (const auto& [name, shape] : benched_convs())
        add_case(need_dx ? "conv2d_grad" : "conv2d_grad_dw", name + suffix, shape.n,
                 [s = shape, choice, need_dx](Context& c, std::int64_t n) {
                   return grad_case(c, with_images(s, n), choice, need_dx);
                 });
  });
});

}  // namespace
}  // namespace kiln::bench
