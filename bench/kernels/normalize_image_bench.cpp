#include "bench/kernels/verify.h"
#include "kernels/include/normalize_image.h"
#include "tests/reference/normalize_image.h"

namespace kiln::bench {
namespace {

constexpr std::array<double, 4> kMean{0.4914, 0.4822, 0.4465, 0};
constexpr std::array<double, 4> kInvStd{1 / 0.2470, 1 / 0.2435, 1 / 0.2616, 1};

Case normalize_case(Context& c, const Shape& shape, NormalizeMode mode) {
  const auto x = std::make_shared<OwnedTensor>(test::random_integers(shape, DType::u8, 1, 256));
  const auto y = shared_output(shape);
  return {.work = {.read_bytes = bytes_of(*x), .write_bytes = bytes_of(*y)},
          .run =
              [&c, x, y, mode] {
                normalize_image(
                    c, {.x = *x, .y = *y, .mean = kMean, .inv_std = kInvStd, .mode = mode});
              },
          .fault =
              [x, y, mode] {
                const Values wanted =
                    mode == NormalizeMode::constant
                        ? reference::normalize_constant(x->values(), {kMean[0], kMean[1], kMean[2]},
                                                        {kInvStd[0], kInvStd[1], kInvStd[2]})
                        : reference::normalize_per_image(x->values(),
                                                         static_cast<std::size_t>(x->shape()[0]));
                return fault_of(*y, wanted, 3e-7);
              }};
}

const Registrar kNormalize([] {
  for (const std::int64_t count : {4, 64, 512}) {
    const Shape shape{count, 32, 32, 3};
    const std::string name = "cifar10/n" + std::to_string(count);
    add_case("normalize_image", name, count, [shape](Context& c, std::int64_t n) {
      return normalize_case(c, with_count(shape, n), NormalizeMode::constant);
    });
    add_case("normalize_image_per_image", name, count, [shape](Context& c, std::int64_t n) {
      return normalize_case(c, with_count(shape, n), NormalizeMode::per_image);
    });
  }
});

}  // namespace
}  // namespace kiln::bench
