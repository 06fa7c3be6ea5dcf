#include "engine/data/normalisation.h"

#include <cmath>
#include <gtest/gtest.h>

#include "tests/data/support.h"

namespace kiln {
namespace {

TEST(Normalisation, MeasuresEveryChannel) {
  for (const std::int64_t channels : {1, 3}) {
    const Dataset dataset = test::random_dataset(777, 5, 6, channels);
    ThreadPool one(1), three(3);
    const Normalisation measured = measure_normalisation(dataset, three);
    EXPECT_EQ(measured.mode, Normalisation::Mode::measured);
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0, square = 0, count = 0;
      for (auto i = static_cast<std::size_t>(c); i < dataset.images().size();
           i += static_cast<std::size_t>(channels)) {
        const double value = dataset.images()[i] / 255.0;
        sum += value, square += value * value, count += 1;
      }
      const double mean = sum / count;
      const auto at = static_cast<std::size_t>(c);
      EXPECT_NEAR(measured.mean[at], mean, 1e-6);
      EXPECT_NEAR(measured.std[at], std::sqrt(square / count - mean * mean), 1e-6);
      EXPECT_EQ(measured.mean[at], measure_normalisation(dataset, one).mean[at]);
    }
  }
}

TEST(Normalisation, AConstantChannelDividesByOne) {
  DatasetInfo info{.height = 2, .width = 2, .channels = 3, .class_names = {"a"}};
  const Dataset dataset(info, Buffer(Device{}, 24), {0, 0});
  ThreadPool pool(1);
  const Normalisation measured = measure_normalisation(dataset, pool);
  EXPECT_EQ(measured.mean[1], 0.0f);
  EXPECT_EQ(measured.std[1], 1.0f);
}

}  // namespace
}  // namespace kiln
