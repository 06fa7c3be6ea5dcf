// What training writes and evaluates is what inference serves.
#include <gtest/gtest.h>

#include "engine/infer/session.h"
#include "engine/train/model_io.h"
#include "tests/infer/model_folder.h"
#include "tests/support/compare.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_folder.h"
#include "tests/train/fixture.h"

namespace kiln {
namespace {

class TrainAgrees : public TempFolderTest, public testing::WithParamInterface<const char*> {};

// 1e-5 of the largest result: folding rounds each weight once more, and the linear layers of a
// batch may be summed in another order.
TEST_P(TrainAgrees, OnTheBytesOfPictures) {
  if (test::kWithSanitizer && GetParam() == std::string("resnet18"))
    GTEST_SKIP() << "too slow under a sanitizer";
  const ModelSpec spec = test::network_of(GetParam());
  const std::int64_t count = 5;
  test::write_model(folder() / "drawn", spec, 21);
  const std::unique_ptr<Model> trained = load_model(folder() / "drawn", DType::f32, {});
  save_model(folder() / "saved", trained->card, trained->parameters);
  const test::RandomBatch batch(spec, count, 5);

  test::Workbench bench;
  bench.context.mode = Mode::eval;
  Network network(spec, trained->parameters, bench.context, bench.providers,
                  {.batch_size = count, .training = false});
  network.set_input(bench.context, batch.images, batch.labels, trained->normalisation);
  network.forward(bench.context);
  const std::vector<float> wanted = elements_of<float>(network.logits());

  infer::Session session(infer::Model::load(folder() / "saved"), {.max_batch = count}, bench.log);
  session.set_bytes(0, batch.images);
  session.run(count);
  const std::span<const float> got = session.outputs(0, count);
  EXPECT_TRUE(test::close_to(test::Values(got.begin(), got.end()),
                             test::Values(wanted.begin(), wanted.end()), 1e-5));
}

INSTANTIATE_TEST_SUITE_P(Networks, TrainAgrees,
                         testing::Values("lenet", "mnist", "resnet18", "mini", "everything",
                                         "speedrun"),
                         [](const auto& network) { return std::string(network.param); });

}  // namespace
}  // namespace kiln
