#include "bench/kernels/verify.h"
#include "kernels/include/load_batch.h"
#include "tests/reference/load_batch.h"
#include "tests/reference/normalize_image.h"
#include "tests/support/device_values.h"

namespace kiln::bench {
namespace {

// A data set of one batch, in order.
struct Pictures {
  explicit Pictures(const Shape& shape)
      : bytes(test::random_integers(shape, DType::u8, 1, 256)),
        labels(test::random_integers({shape[0]}, DType::i32, 2, 10)),
        order({shape[0]}, DType::i64),
        x(shape, DType::f32),
        t({shape[0]}, DType::i32) {
    for (std::int64_t i = 0; i < shape[0]; ++i) order.set(i, static_cast<double>(i));
  }

  void load(Context& c, int padding) const {
    load_batch(c, {.pictures = bytes,
                   .labels = labels,
                   .order = order,
                   .x = x,
                   .t = t,
                   .state = state.data(),
                   .batch_size = x.shape()[0],
                   .augmentation = {.crop_padding = padding}});
  }
  std::string fault(int padding) const {
    const Values all = bytes.values();
    const Shape& s = x.shape();
    const reference::PictureSize size{static_cast<int>(s[1]), static_cast<int>(s[2]),
                                      static_cast<int>(s[3])};
    const std::ptrdiff_t picture = s[1] * s[2] * s[3];
    Values wanted;
    for (std::int64_t n = 0; n < s[0]; ++n) {
      const Values one(all.begin() + n * picture, all.begin() + (n + 1) * picture);
      const Values changed = reference::changed_picture(one, size, {.padding = padding},
                                                        {0, 0, static_cast<std::uint64_t>(n)});
      wanted.insert(wanted.end(), changed.begin(), changed.end());
    }
    return fault_of(x, reference::normalize_constant(wanted, {0, 0, 0}, {1, 1, 1}), 3e-7);
  }

  OwnedTensor bytes, labels, order, x, t;
  test::DeviceValues<StepState> state{std::vector<StepState>(1)};
};

Case load_case(Context& c, const Shape& shape, int padding) {
  const auto set = std::make_shared<Pictures>(shape);
  return {.work = {.read_bytes = bytes_of(set->bytes), .write_bytes = bytes_of(set->x)},
          .run = [&c, set, padding] { set->load(c, padding); },
          .fault = [set, padding] { return set->fault(padding); }};
}

const Registrar kLoad([] {
  for (const int padding : {0, 4})
    add_case("load_batch", padding == 0 ? "cifar10/n64" : "cifar10_crop/n64", 64,
             [padding](Context& c, std::int64_t n) {
               return load_case(c, {n, 32, 32, 3}, padding);
             });
});

}  // namespace
}  // namespace kiln::bench
