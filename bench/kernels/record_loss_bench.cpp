#include "bench/kernels/verify.h"
#include "kernels/include/record_loss.h"
#include "tests/reference/record_loss.h"
#include "tests/support/device_values.h"

namespace kiln::bench {
namespace {

Case record_case(Context& c, std::int64_t count) {
  const auto loss = shared_random({count}, 1, 0, 5);
  const auto hit = std::make_shared<OwnedTensor>(test::random_integers({count}, DType::i32, 2, 2));
  const auto state = std::make_shared<test::DeviceValues<StepState>>(std::vector<StepState>(1));
  const auto log = std::make_shared<test::DeviceValues<StepLoss>>(std::vector<StepLoss>(1));
  return {.work = {.read_bytes = bytes_of(*loss) + bytes_of(*hit), .write_bytes = sizeof(StepLoss)},
          .run =
              [&c, loss, hit, state, log] {
                record_loss(c, {.loss = *loss,
                                .hit = *hit,
                                .state = state->data(),
                                .log = log->data(),
                                .log_size = 1});
              },
          .fault =
              [loss, hit, log] {
                const reference::Scored wanted =
                    reference::record_loss(loss->values(), hit->values());
                const StepLoss got = log->get()[0];
                const bool right = std::fabs(got.loss_sum - wanted.loss_sum) <= 1e-12 &&
                                   got.hit_count == wanted.hit_count;
                return std::string(right ? "" : "the sums differ");
              }};
}

const Registrar kRecord([] {
  for (const std::int64_t count : {64, 1024})
    add_case("record_loss", "n" + std::to_string(count), count, record_case);
});

}  // namespace
}  // namespace kiln::bench
