// Models that come, change, break and go, as the table shows them.
#include "engine/serve/model_keeper.h"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <thread>

#include "engine/core/error.h"
#include "engine/infer/golden.h"
#include "tests/infer/model_folder.h"
#include "tests/support/temp_folder.h"

namespace kiln::serve {
namespace {

using Look = ModelKeeper::Look;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class ModelKeeperTest : public TempFolderTest {
 protected:
  void TearDown() override {
    for (const auto& model : table_.all()) model->batcher->stop();
    TempFolderTest::TearDown();
  }

  Path at(const std::string& name) const { return folder() / name; }
  // As kiln train leaves a model: with digests, and a golden sample.
  void write(const std::string& name, std::uint64_t seed) {
    const ModelSpec spec = lenet();
    test::write_model(at(name), spec, seed);
    Log quiet(stderr, LogLevel::quiet);
    infer::Session session(infer::Model::load(at(name)), {.max_batch = 1}, quiet);
    const std::vector<std::uint8_t> picture(std::size_t{32} * 32 * 3, 99);
    write_golden(at(name) / kGoldenFile, spec, infer::make_golden(session, picture));
    ModelCard card = test::card_of(spec);
    card.files = {digest_file(at(name), kWeightsFile), digest_file(at(name), kGoldenFile)};
    write_model_card(at(name) / kCardFile, card);
  }
  ModelKeeper& keeper(VersionPolicy policy = VersionPolicy::all) {
    if (!keeper_) keeper_.emplace(folder(), policy, loader_, table_, log_);
    return *keeper_;
  }
  void load_all() {
    keeper().load_all([] { return true; });
  }
  std::vector<std::string> served() const {
    std::vector<std::string> list;
    for (const auto& model : table_.all())
      list.push_back(model->identity->name + " " + model->identity->version);
    return list;
  }
  struct FirstOutput final : Waiter {
    explicit FirstOutput(float& first) : first_(first) {}
    bool cancelled() const override { return false; }
    void answer(std::span<const float> outputs) override { first_ = outputs[0]; }
    void refuse(Refused) override { ADD_FAILURE(); }
    float& first_;
  };
  // The first output for a picture of 200 everywhere.
  float answer(const std::string& name) const {
    float first = 0;
    Work work;
    work.pictures.count = 1;
    work.pictures.bytes.assign(std::size_t{32} * 32 * 3, 200);
    work.waiter = std::make_unique<FirstOutput>(first);
    EXPECT_TRUE(table_.find(name)->batcher->try_inline(std::span(&work, 1)));
    return first;
  }
  std::uint64_t failed() const { return table_.loads().failed.value(); }

  Log log_{stderr, LogLevel::quiet};
  ModelTable table_;
  ModelLoader loader_{{.inlining = Inlining::on, .max_batch = 4}, log_};
  std::optional<ModelKeeper> keeper_;
};

TEST_F(ModelKeeperTest, LoadsWhatIsThere) {
  write("cats", 1);
  write("dogs/2", 2);
  write("dogs/10", 3);
  load_all();
  EXPECT_THAT(served(), ElementsAre("cats 1", "dogs 2", "dogs 10"));
  EXPECT_EQ(table_.loads().loaded.value(), 3u);
  EXPECT_EQ(table_.find("dogs")->identity->version, "10");
}

TEST_F(ModelKeeperTest, OnlyTheLatestWhereThatIsAsked) {
  write("dogs/2", 2);
  write("dogs/10", 3);
  keeper(VersionPolicy::latest).load_all([] { return true; });
  EXPECT_THAT(served(), ElementsAre("dogs 10"));
  write("dogs/11", 4);
  keeper().look(Look::at_once);
  EXPECT_THAT(served(), ElementsAre("dogs 11"));
}

TEST_F(ModelKeeperTest, TheCardsNameCountsWhereTheFolderHasNone) {
  write(".", 1);
  load_all();
  EXPECT_THAT(served(), ElementsAre("lenet 1"));
}

TEST_F(ModelKeeperTest, AChangedModelIsTakenWhenItIsStill) {
  write("m", 1);
  load_all();
  const float before = answer("m");
  keeper().look(Look::patient);
  keeper().look(Look::patient);
  EXPECT_EQ(table_.loads().loaded.value(), 1u) << "nothing has changed";
  write("m", 2);
  keeper().look(Look::patient);
  EXPECT_EQ(answer("m"), before) << "it may still be written to";
  keeper().look(Look::patient);
  EXPECT_NE(answer("m"), before);
  EXPECT_EQ(table_.loads().loaded.value(), 2u);
  write("m", 1);
  keeper().look(Look::at_once);
  EXPECT_EQ(answer("m"), before) << "asked for";
}

TEST_F(ModelKeeperTest, ABadModelLeavesTheOldOneAtWork) {
  write("m", 1);
  load_all();
  const float before = answer("m");
  write("other", 2);
  std::filesystem::copy_file(at("other") / kWeightsFile, at("m") / kWeightsFile,
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::remove_all(at("other"));
  keeper().look(Look::at_once);
  EXPECT_EQ(answer("m"), before);
  EXPECT_EQ(failed(), 1u);
  keeper().look(Look::patient);
  keeper().look(Look::patient);
  EXPECT_EQ(failed(), 1u) << "what has not changed is not tried again";
  write("m", 3);
  keeper().look(Look::at_once);
  EXPECT_NE(answer("m"), before);
}

TEST_F(ModelKeeperTest, AGoldenSampleThatIsNotReproducedIsABadModel) {
  write("m", 1);
  load_all();
  const float before = answer("m");
  write("m", 2);
  // Weights of another seed with a card that says they belong there: only the sample can tell.
  test::write_tensors(at("m"), test::drawn_tensors(lenet(), 5));
  ModelCard card = read_model_card(at("m") / kCardFile);
  card.files[0] = digest_file(at("m"), kWeightsFile);
  write_model_card(at("m") / kCardFile, card);
  keeper().look(Look::at_once);
  EXPECT_EQ(failed(), 1u);
  EXPECT_EQ(answer("m"), before);
}

TEST_F(ModelKeeperTest, ModelsComeAndGoButNeverTheLast) {
  write("a", 1);
  load_all();
  write("b", 2);
  keeper().look(Look::patient);
  keeper().look(Look::patient);
  EXPECT_THAT(served(), ElementsAre("a 1", "b 1"));
  std::filesystem::remove_all(at("a"));
  keeper().look(Look::patient);
  EXPECT_THAT(served(), ElementsAre("a 1", "b 1")) << "it may be on its way back";
  keeper().look(Look::patient);
  EXPECT_THAT(served(), ElementsAre("b 1"));
  std::filesystem::remove_all(at("b"));
  keeper().look(Look::at_once);
  keeper().look(Look::at_once);
  EXPECT_THAT(served(), ElementsAre("b 1"));
}

TEST_F(ModelKeeperTest, AFolderThatIsExchangedIsNoLoss) {
  write("m", 1);
  load_all();
  const float before = answer("m");
  std::filesystem::rename(at("m"), at(".old"));
  keeper().look(Look::patient);
  EXPECT_EQ(answer("m"), before);
  write("m", 2);
  keeper().look(Look::at_once);
  EXPECT_NE(answer("m"), before);
}

TEST_F(ModelKeeperTest, AtTheStartTheFirstBadModelIsAnError) {
  write("a", 1);
  write("b", 2);
  std::ofstream(at("b") / kWeightsFile) << "cut";
  try {
    load_all();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("model.safetensors: is not the file that model.json"));
  }
}

// As many connections as the system allows leave none to read a folder with.
// A copy that a person made beside the models must not keep the others from coming.
TEST_F(ModelKeeperTest, AFolderWithAnImpossibleNameIsNoConcernOfTheOthers) {
  write("a", 1);
  load_all();
  write("a (copy)", 2);
  write("b", 3);
  keeper().look(Look::at_once);
  EXPECT_THAT(served(), ElementsAre("a 1", "b 1"));
  EXPECT_EQ(failed(), 1u);
  keeper().look(Look::patient);
  EXPECT_EQ(failed(), 1u) << "told once";
  std::filesystem::remove_all(at("b"));
  keeper().look(Look::at_once);
  EXPECT_THAT(served(), ElementsAre("a 1"));
}

TEST_F(ModelKeeperTest, AtTheStartAnImpossibleNameIsAnError) {
  write("a (copy)", 1);
  try {
    load_all();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("a (copy)"), HasSubstr("does not do for an address"),
                                    HasSubstr("use letters, digits")));
  }
}

TEST_F(ModelKeeperTest, ALookWithoutDescriptorsLeavesWhatIsThere) {
  write(".", 1);
  load_all();
  const float before = answer("lenet");
  write(".", 2);
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = files.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (const Look how : {Look::patient, Look::patient, Look::at_once})
    EXPECT_NO_THROW(keeper().look(how));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_EQ(answer("lenet"), before);
  keeper().look(Look::at_once);
  EXPECT_NE(answer("lenet"), before);
}

TEST_F(ModelKeeperTest, MetricsOutliveAReload) {
  write("m", 1);
  load_all();
  answer("m");
  const std::shared_ptr<BatcherMetrics> metrics = table_.find("m")->metrics;
  write("m", 2);
  keeper().look(Look::at_once);
  answer("m");
  EXPECT_EQ(table_.find("m")->metrics, metrics);
  EXPECT_EQ(metrics->pictures.value(), 2u);
}

}  // namespace
}  // namespace kiln::serve
