// Sessions: results against the definition, rows that know nothing of each other, runs that
// allocate nothing.
#include "engine/infer/session.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <stdexcept>

#include "tests/infer/model_folder.h"
#include "tests/support/compare.h"
#include "tests/support/count_allocations.h"
#include "tests/support/devices.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_folder.h"

namespace kiln::infer {
namespace {

using test::Values;

// On an emulated device or under a sanitizer a picture of resnet18 takes minutes.
bool too_slow_here(const std::string& name) {
  return name == "resnet18" && (test::kWithSanitizer || !test::test_device().is_host());
}

class InferSession : public TempFolderTest {
 protected:
  std::shared_ptr<const Model> drawn(const ModelSpec& spec, std::uint64_t seed = 11) {
    test::write_model(folder() / spec.name, spec, seed);
    return Model::load(folder() / spec.name, test::test_device());
  }

  Log log_{stderr, LogLevel::quiet};
};

class InferNetwork : public InferSession, public testing::WithParamInterface<const char*> {
 protected:
  ModelSpec spec() const { return test::network_of(GetParam()); }
};

std::vector<float> results(Session& session, std::span<const float> pictures) {
  const auto count = static_cast<std::int64_t>(pictures.size()) / session.picture_size();
  session.set_values(0, pictures);
  session.run(count);
  const std::span<const float> rows = session.outputs(0, count);
  return {rows.begin(), rows.end()};
}

TEST_P(InferNetwork, ComputesWhatTheDefinitionSays) {
  if (too_slow_here(GetParam()))
    GTEST_SKIP() << "too slow on an emulated device or under a sanitizer";
  const std::int64_t count = 3;
  Session session(drawn(spec()), {.max_batch = 4}, log_);
  const std::vector<float> x = test::drawn_pictures(spec(), count, 1);
  const std::vector<float> got = results(session, x);
  const test::FileWeights weights = test::as_weights(test::drawn_tensors(spec(), 11));
  const Values wanted = test::ReferenceNetwork(weights).forward(
      spec().layers, Values(x.begin(), x.end()),
      {count, spec().height, spec().width, spec().channels});
  EXPECT_TRUE(test::close_to(Values(got.begin(), got.end()), wanted, 1e-5));
}

TEST_P(InferNetwork, ARowKnowsNothingOfTheOthers) {
  if (too_slow_here(GetParam()))
    GTEST_SKIP() << "too slow on an emulated device or under a sanitizer";
  const std::int64_t most = std::string(GetParam()) == "resnet18" ? 5
                            : test::test_device().is_host()       ? 33
                                                                  : 9;
  const std::shared_ptr<const Model> model = drawn(spec());
  Session alone(model, {.max_batch = 1}, log_), together(model, {.max_batch = most}, log_);
  const std::vector<float> x = test::drawn_pictures(spec(), most, 2);
  const auto picture = static_cast<std::size_t>(alone.picture_size());
  std::vector<float> wanted;
  for (std::int64_t row = 0; row < most; ++row) {
    const std::vector<float> one =
        results(alone, std::span(x).subspan(static_cast<std::size_t>(row) * picture, picture));
    wanted.insert(wanted.end(), one.begin(), one.end());
  }
  for (std::int64_t count = 1; count <= most; ++count) {
    const std::vector<float> got =
        results(together, std::span(x).first(static_cast<std::size_t>(count) * picture));
    EXPECT_EQ(std::memcmp(got.data(), wanted.data(), got.size() * sizeof(float)), 0)
        << count << " rows";
  }
}

TEST_P(InferNetwork, ThreadsChangeNoBit) {
  if (too_slow_here(GetParam()))
    GTEST_SKIP() << "too slow on an emulated device or under a sanitizer";
  const std::shared_ptr<const Model> model = drawn(spec());
  const std::vector<float> x = test::drawn_pictures(spec(), 3, 4);
  Session one(model, {.max_batch = 3}, log_),
      three(model, {.max_batch = 3, .thread_count = 3}, log_);
  EXPECT_EQ(results(one, x), results(three, x));
}

TEST_P(InferNetwork, ARunAllocatesNothing) {
  KILN_CPU_ONLY("the emulator allocates for itself");
  Session session(drawn(spec()), {.max_batch = 4}, log_);
  const std::vector<float> x = test::drawn_pictures(spec(), 3, 1);
  const std::vector<std::uint8_t> bytes(static_cast<std::size_t>(session.picture_size()), 7);
  const auto request = [&] {
    session.set_values(0, x);
    session.set_bytes(3, bytes);
    for (std::int64_t count = 1; count <= 4; ++count) session.run(count);
  };
  request();
  const long long before = allocation_count();
  request();
  EXPECT_EQ(allocation_count() - before, 0);
  EXPECT_TRUE(std::isfinite(session.outputs(3, 1)[0]));
}

INSTANTIATE_TEST_SUITE_P(Networks, InferNetwork,
                         testing::Values("lenet", "mnist", "resnet18", "mini", "everything",
                                         "speedrun"),
                         [](const auto& network) { return std::string(network.param); });

TEST_F(InferSession, BytesAndValuesMix) {
  const ModelSpec spec = lenet();
  Session session(drawn(spec), {.max_batch = 3}, log_);
  const auto picture = static_cast<std::size_t>(session.picture_size());
  std::vector<std::uint8_t> bytes(picture);
  std::vector<float> values(picture);
  for (std::size_t i = 0; i < picture; ++i) {
    bytes[i] = static_cast<std::uint8_t>(i * 37 % 256);
    values[i] = static_cast<float>((bytes[i] / 255.0 - 0.45) / 0.25);
  }
  session.set_values(0, values);
  session.set_bytes(1, bytes);
  session.set_values(2, values);
  const std::span<const float> inputs = session.inputs(1, 2);
  ASSERT_EQ(inputs.size(), 2 * picture);
  for (std::size_t i = 0; i < picture; ++i) {
    EXPECT_NEAR(inputs[i], values[i], 1e-6) << "the bytes, as the network sees them";
    EXPECT_EQ(inputs[picture + i], values[i]);
  }
  session.run(3);
  const auto row = [&](std::int64_t r) {
    const std::span<const float> out = session.outputs(r, 1);
    return Values(out.begin(), out.end());
  };
  EXPECT_TRUE(test::close_to(row(1), row(0), 1e-5));
  EXPECT_EQ(row(0), row(2));
}

TEST_F(InferSession, PicturesMayBeScaledByThemselves) {
  const ModelSpec spec = lenet();
  drawn(spec);
  ModelCard card = test::card_of(spec);
  card.normalisation = NormalisationMode::per_image;
  card.mean = card.std = {};
  write_model_card(folder() / "lenet" / "model.json", card);
  Session session(Model::load(folder() / "lenet", test::test_device()), {.max_batch = 2}, log_);
  // One colour becomes zeros, whatever the colour.
  const auto picture = static_cast<std::size_t>(session.picture_size());
  session.set_bytes(0, std::vector<std::uint8_t>(picture, 200));
  session.set_values(1, std::vector<float>(picture, 0));
  session.run(2);
  const std::span<const float> out = session.outputs(0, 2);
  const std::vector<float> bytes_row(out.begin(), out.begin() + 10),
      zeros_row(out.begin() + 10, out.end());
  EXPECT_EQ(bytes_row, zeros_row);
}

TEST_F(InferSession, RefusesRowsThatDoNotFit) {
  Session session(drawn(lenet()), {.max_batch = 3}, log_);
  EXPECT_EQ(session.picture_size(), 32 * 32 * 3);
  EXPECT_EQ(session.output_size(), 10);
  EXPECT_EQ(session.max_batch(), 3);
  const std::vector<float> one(32 * 32 * 3), short_one(32 * 32 * 3 - 1), four(4 * 32 * 32 * 3);
  const std::vector<std::uint8_t> byte(1);
  EXPECT_THROW(session.set_values(3, one), std::logic_error);
  EXPECT_THROW(session.set_values(-1, one), std::logic_error);
  EXPECT_THROW(session.set_values(0, short_one), std::logic_error);
  EXPECT_THROW(session.set_values(0, four), std::logic_error);
  EXPECT_THROW(session.set_bytes(0, byte), std::logic_error);
  EXPECT_THROW(session.inputs(2, 2), std::logic_error);
  EXPECT_THROW(session.inputs(-1, 1), std::logic_error);
  EXPECT_THROW(session.run(0), std::logic_error);
  EXPECT_THROW(session.run(4), std::logic_error);
  session.set_values(0, one);
  session.run(1);
  EXPECT_EQ(session.outputs(0, 1).size(), 10u);
  EXPECT_THROW(session.outputs(0, 2), std::logic_error);
  EXPECT_THROW(session.outputs(2, 1), std::logic_error);
  EXPECT_THROW(Session(drawn(lenet()), {.max_batch = 0}, log_), std::logic_error);
}

}  // namespace
}  // namespace kiln::infer
