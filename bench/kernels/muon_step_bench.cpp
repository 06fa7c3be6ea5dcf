#include "bench/kernels/verify.h"
#include "engine/core/buffer.h"
#include "kernels/include/muon_step.h"
#include "tests/reference/muon_step.h"

namespace kiln::bench {
namespace {

// Operations of three iterations on [r, c], r <= c: three products each.
double flops_of(const MuonExtents& e) {
  const auto small = static_cast<double>(e.smaller());
  const auto count = static_cast<double>(e.rows * e.columns);
  return 3 * (4 * small * count + 2 * small * small * small);
}

Case muon_case(Context& c, const Shape& shape) {
  const auto w = shared_random(shape, 1, -1, 1, DType::f32), grad = shared_random(shape, 2);
  const auto buffer = shared_random(shape, 3, -1, 1, DType::f32);
  const auto scratch =
      std::make_shared<Buffer>(c.device(), muon_step_scratch_bytes({&shape, 1}, DType::f32));
  const bool verified = shape.element_count() <= 8192;
  const Values w_before = verified ? w->values() : Values{};
  return {.work = {.flops = flops_of(MuonExtents(shape)),
                   .read_bytes = 2 * bytes_of(*w) + bytes_of(*grad),
                   .write_bytes = 2 * bytes_of(*w)},
          .run =
              [&c, w, grad, buffer, scratch] {
                const MuonMatrix matrix{.w = *w, .grad = *grad, .momentum_buffer = *buffer};
                muon_step(c, {.matrices = {&matrix, 1},
                              .lr = 0.24,
                              .momentum = 0.6,
                              .nesterov = true,
                              .scratch = scratch->data()});
              },
          .fault =
              [shape, w, grad, w_before] {
                Values wanted = w_before, b = shared_random(shape, 3, -1, 1, DType::f32)->values();
                reference::muon({.lr = 0.24, .momentum = 0.6, .nesterov = true},
                                static_cast<std::size_t>(shape[0]), wanted, grad->values(), b);
                return fault_of(*w, wanted, 5e-6);
              }};
}

// Filters of speedrun94, and one that is small enough to be verified.
const Registrar kMuon([] {
  const std::vector<Named<Shape>> filters = {{"state", {8, 3, 3, 8}},
                                             {"block1", {64, 3, 3, 64}},
                                             {"block2", {256, 3, 3, 64}},
                                             {"block3", {256, 3, 3, 256}}};
  for (const auto& [name, shape] : filters)
    add_case(
        "muon_step", name, shape[0],
        [s = shape](Context& c, std::int64_t n) { return muon_case(c, with_count(s, n)); }, 8);
});

}  // namespace
}  // namespace kiln::bench
