// Evaluation under several views: PyTorch's logits, and an evaluator's totals of them.
#include "engine/train/test_views.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "engine/core/transfer.h"
#include "engine/train/evaluator.h"
#include "engine/train/parameters.h"
#include "models/zoo.h"
#include "tests/golden/golden.h"
#include "tests/train/fixture.h"

namespace kiln {
namespace {

constexpr TestViews kAll[] = {TestViews::none, TestViews::mirror, TestViews::translate};
constexpr std::int64_t kCount = 5;

// LeNet with the start of the golden files, and their five pictures.
class Views : public testing::Test {
 protected:
  Views() : golden_("views"), parameters_(lenet(), DType::f32, Device{}) {
    parameters_.initialise(1);
    const golden::GoldenFile start("lenet");
    for (const std::string& name : start.parameters()) {
      const Parameter& parameter = parameters_.find(name);
      const auto values = start.initial(name).values;
      std::vector<float> typed(values.begin(), values.end());
      to_memory_order(parameter, Tensor(std::span<float>(typed), parameter.shape), parameter.value);
    }
    const golden::GoldenArray pixels = golden::to_channels_last(golden_.at("pixels"));
    images_.assign(pixels.values.begin(), pixels.values.end());
  }

  std::vector<double> logits(TestViews views) {
    Network network(lenet(), parameters_, bench_.context, bench_.providers,
                    {.batch_size = kCount, .training = false});
    ViewForward forward(views, lenet(), kCount);
    forward.run(bench_.context, network, images_, labels_, half_);
    const std::vector<float> all = elements_of<float>(network.logits());
    return {all.begin(), all.end()};
  }

  golden::GoldenFile golden_;
  test::Workbench bench_{2};
  ParameterStore parameters_;
  Normalisation half_{.mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}};
  std::vector<std::uint8_t> images_;
  std::vector<std::int32_t> labels_ = {3, 1, 4, 1, 5};
};

TEST_F(Views, LogitsAreThoseOfPyTorch) {
  for (const TestViews views : kAll) {
    const std::string name(name_of(views));
    EXPECT_LE(golden::relative_error(logits(views), golden_.at("logits_" + name).values), 2e-6)
        << name;
  }
  // The views differ by far more than that.
  EXPECT_GT(golden::relative_error(logits(TestViews::none), golden_.at("logits_mirror").values),
            1e-3);
}

TEST_F(Views, WeightsSumToOne) {
  for (const TestViews views : kAll) {
    float sum = 0;
    for (const TestView& view : views_of(views)) sum += view.weight;
    EXPECT_EQ(sum, 1.0f);
    EXPECT_EQ(parse_test_views(name_of(views)), views);
  }
  EXPECT_THROW(parse_test_views("both"), Error);
}

TEST(ViewForward, NamesTheFlagWhereAPictureCannotBeShifted) {
  const ModelSpec line{.name = "line", .height = 1, .width = 8, .channels = 1, .class_count = 2};
  EXPECT_NO_THROW(ViewForward(TestViews::mirror, line, 1));
  try {
    const ViewForward forward(TestViews::translate, line, 1);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "--tta translate: shifts a picture by a pixel, and those of line are 1x8; use "
                 "--tta mirror");
  }
}

// Loss, hits, confusion and probabilities out of the mean; batches of two leave one picture over.
TEST_F(Views, EvaluatorScoresTheMean) {
  Buffer bytes(Device{}, images_.size());
  std::ranges::copy(std::as_bytes(std::span(images_)), bytes.data());
  const Dataset data({.name = "golden",
                      .height = 32,
                      .width = 32,
                      .channels = 3,
                      .class_names = std::vector<std::string>(10, "class")},
                     std::move(bytes), labels_);
  for (const TestViews views : kAll) {
    Evaluator evaluator(lenet(), parameters_, half_, data, bench_.context, bench_.providers,
                        {.batch_size = 2, .views = views});
    std::vector<std::vector<float>> shown(static_cast<std::size_t>(kCount));
    const Evaluation total =
        evaluator.run(bench_.context, [&](std::int64_t i, std::span<const float> probabilities) {
          shown[static_cast<std::size_t>(i)].assign(probabilities.begin(), probabilities.end());
        });
    const std::vector<double> wanted = golden_.at("logits_" + std::string(name_of(views))).values;
    double loss = 0;
    std::vector<std::int64_t> confusion(100);
    for (std::size_t n = 0; n < static_cast<std::size_t>(kCount); ++n) {
      const double* row = wanted.data() + 10 * n;
      double sum = 0;
      for (int k = 0; k < 10; ++k) sum += std::exp(row[k]);
      const auto label = static_cast<std::size_t>(labels_[n]);
      loss += (std::log(sum) - row[label]) / static_cast<double>(kCount);
      ++confusion[10 * label + static_cast<std::size_t>(std::max_element(row, row + 10) - row)];
      for (std::size_t k = 0; k < 10; ++k)
        EXPECT_NEAR(static_cast<double>(shown[n][k]), std::exp(row[k]) / sum, 1e-6);
    }
    EXPECT_NEAR(total.loss, loss, 1e-6);
    EXPECT_EQ(total.confusion, confusion);
    EXPECT_EQ(total.image_count, kCount);
  }
}

TEST_F(Views, ShiftsNeedTwoRows) {
  ModelSpec flat = lenet();
  flat.height = 1;
  EXPECT_THROW(ViewForward(TestViews::translate, flat, 1), Error);
  EXPECT_NO_THROW(ViewForward(TestViews::mirror, flat, 1));
}

}  // namespace
}  // namespace kiln
