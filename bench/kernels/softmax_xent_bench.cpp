#include "bench/kernels/verify.h"
#include "kernels/include/softmax_xent.h"
#include "tests/reference/softmax_xent.h"

namespace kiln::bench {
namespace {

std::vector<Named<Shape>> scores() {
  return {{"classes10/n4", {4, 10}},
          {"classes10/n64", {64, 10}},
          {"classes10/n512", {512, 10}},
          {"classes1000/n512", {512, 1000}}};
}

Case xent_case(Context& c, const Shape& shape) {
  const auto z = shared_random(shape, 1, -5, 5);
  const auto t = std::make_shared<OwnedTensor>(
      test::random_integers({shape[0]}, DType::i32, 2, static_cast<std::uint32_t>(shape[1])));
  const auto loss = shared_output({shape[0]}, DType::f32), dz = shared_output(shape);
  const auto hit = shared_output({shape[0]}, DType::i32);
  return {
      .work = {.read_bytes = bytes_of(*z) + bytes_of(*t),
               .write_bytes = bytes_of(*dz) + bytes_of(*loss) + bytes_of(*hit)},
      .run = [&c, z, t, loss, hit,
              dz] { softmax_xent(c, {.z = *z, .t = *t, .loss = *loss, .hit = *hit, .dz = *dz}); },
      .fault =
          [z, t, loss, hit, dz] {
            const auto wanted = reference::softmax_xent(
                z->values(), t->values(), static_cast<std::size_t>(z->shape()[1]), 0, 1);
            return fault_of(*loss, wanted.loss, 1e-6) + fault_of(*hit, wanted.hit, 0) +
                   fault_of(*dz, wanted.dz, 1e-6);
          }};
}

const Registrar kXent([] {
  for (const auto& [name, shape] : scores()) {
    add_case("softmax_xent", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return xent_case(c, with_count(s, n)); });
  }
});

}  // namespace
}  // namespace kiln::bench
