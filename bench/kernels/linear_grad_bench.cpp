#include "bench/kernels/verify.h"
#include "kernels/include/linear_grad.h"
#include "tests/reference/linear.h"

namespace kiln::bench {
namespace {

// After a relu that let about half of y through.
struct Tensors {
  explicit Tensors(const LinearShape& s)
      : x(shared_random({s.n, s.in}, 1)),
        w(shared_random({s.out, s.in}, 2)),
        y(shared_random({s.n, s.out}, 3)),
        dy(shared_random({s.n, s.out}, 4)),
        dx(shared_output({s.n, s.in})),
        dw(shared_output({s.out, s.in})),
        dbias(shared_output({s.out})) {}
  std::string fault(const LinearShape& s) const {
    Values dz = dy->values();
    const Values open = y->values();
    for (std::size_t i = 0; i < dz.size(); ++i)
      if (!(open[i] > 0)) dz[i] = 0;
    const auto wanted = reference::linear_grad(s.n, s.in, s.out, x->values(), w->values(), dz);
    constexpr double kTolerance = 1e-5;
    std::string found = fault_of(*dx, wanted.dx, kTolerance);
    if (found.empty()) found = fault_of(*dw, wanted.dw, kTolerance);
    return found.empty() ? fault_of(*dbias, wanted.dbias, kTolerance) : found;
  }
  std::shared_ptr<OwnedTensor> x, w, y, dy, dx, dw, dbias;
};

Case grad_case(Context& c, const LinearShape& s) {
  const Tensors t(s);
  const auto scratch = shared_output(
      {static_cast<std::int64_t>(linear_grad_scratch_bytes(c, s.n, s.in, s.out, element_type()))},
      DType::u8);
  return {.work = {.flops = 4.0 * static_cast<double>(s.n * s.in * s.out),
                   .read_bytes = bytes_of(*t.x) + bytes_of(*t.w) + 2 * bytes_of(*t.dy),
                   .write_bytes = bytes_of(*t.dx) + bytes_of(*t.dw)},
          .run =
              [=, &c] {
                linear_grad(c, {.x = *t.x,
                                .w = *t.w,
                                .y = *t.y,
                                .dy = *t.dy,
                                .dx = *t.dx,
                                .dw = *t.dw,
                                .dbias = *t.dbias,
                                .activation = Activation::relu,
                                .scratch = static_cast<std::byte*>(scratch->view().raw())});
              },
          .fault = [=] { return t.fault(s); }};
}

const Registrar kLinearGrad([] {
  for (const auto& [name, shape] : linears())
    add_case("linear_grad", name, shape.n, [s = shape](Context& c, std::int64_t n) {
      return grad_case(c, {n, s.in, s.out});
    });
});

}  // namespace
}  // namespace kiln::bench
