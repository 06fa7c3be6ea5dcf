// kiln convert as a person meets it: there and back, and normalisation that is none.
#include <filesystem>
#include <gtest/gtest.h>

#include "models/zoo.h"
#include "tests/apps/app_test.h"

namespace kiln::test {
namespace {

using ConvertTest = AppTest;

TEST_F(ConvertTest, ThereAndBackLeavesTheWeights) {
  const std::string model = save_random_model(lenet());
  ASSERT_EQ(run_process({"kiln-convert", model, path("model.pth")}).code, 0);
  ASSERT_EQ(run_process({"kiln-convert", path("model.pth"), path("back")}).code, 0);
  EXPECT_EQ(read_file(model + "/model.safetensors", 1 << 24),
            read_file(path("back/model.safetensors"), 1 << 24));
}

TEST_F(ConvertTest, NormalisationThatIsNoneIsOneLineAndWritesNothing) {
  ASSERT_EQ(run_process({"kiln-convert", save_random_model(lenet()), path("model.pth")}).code, 0);
  const auto convert = [&](const char* mean, const char* std) {
    return run_process({"kiln-convert", path("model.pth"), path("back"), "--mean", mean, "0.5",
                        "0.5", "--std", std, "0.5", "0.5"});
  };
  EXPECT_TRUE(refused(convert("nan", "0.5"), 2, {"--mean: must be"}));
  for (const char* std : {"0", "1e-60", "inf", "nan"})
    EXPECT_TRUE(refused(convert("0.5", std), 2, {"--std: must be"})) << std;
  EXPECT_FALSE(std::filesystem::exists(path("back")));
}

}  // namespace
}  // namespace kiln::test
