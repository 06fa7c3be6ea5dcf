// `kiln` itself, and what all programs answer alike.
#include <gmock/gmock.h>

#include "kernels/include/load_device.h"
#include "tests/apps/app_test.h"

namespace kiln::test {
namespace {

using testing::HasSubstr;

using Dispatch = AppTest;

TEST_F(Dispatch, HelpListsEveryVerb) {
  for (const char* flag : {"--help", "-h", "help"}) {
    const ProcessResult result = run_process({"kiln", flag});
    EXPECT_EQ(result.code, 0);
    for (const char* verb : {"train", "eval", "predict", "data", "inspect"})
      EXPECT_THAT(result.out, HasSubstr(std::string("\n  ") + verb + " "));
    EXPECT_EQ(result.err, "");
  }
  EXPECT_EQ(run_process({"kiln"}).code, 2);
}

TEST_F(Dispatch, UnknownVerbNamesTheNearest) {
  EXPECT_TRUE(refused(run_process({"kiln", "trein"}), 2, {"trein: is no verb", "kiln train?"}));
  EXPECT_TRUE(refused(run_process({"kiln", "xyzzy"}), 2, {"xyzzy: is no verb", "--help"}));
  EXPECT_TRUE(refused(run_process({"kiln", "--frobnicate"}), 2, {"--frobnicate"}));
  EXPECT_TRUE(refused(run_process({"kiln", ""}), 2, {"is no verb"}));
}

TEST_F(Dispatch, AVerbNeverLeavesTheFolder) {
  EXPECT_TRUE(refused(run_process({"kiln", "../../bin/true"}), 2, {"is no verb"}));
  EXPECT_TRUE(refused(run_process({"kiln", "\x1b[31m"}), 2, {"?[31m: is no verb"}));
  EXPECT_TRUE(refused(run_process({"kiln", std::string(500, 'a')}), 2, {"is no verb"}));
}

TEST_F(Dispatch, RunsWhatLiesBesideItAndNothingElse) {
  const std::string copy = path("kiln");
  std::filesystem::copy_file(bin_folder() + "/kiln", copy);
  EXPECT_TRUE(refused(run_process({copy, "eval"}), 1, {"eval: is not in this build"}));
  write("kiln-eval", "#!/bin/sh\necho \"$@\"; exit 5\n");
  std::filesystem::permissions(path("kiln-eval"), std::filesystem::perms::owner_all);
  const ProcessResult result = run_process({copy, "eval", "a b", "--c"});
  EXPECT_EQ(result.code, 5);
  EXPECT_EQ(result.out, "a b --c\n");
}

TEST_F(Dispatch, ProgramsHaveHelpVersionAndRefuseUnknownFlags) {
  for (const char* verb : {"eval", "predict", "inspect"}) {
    const ProcessResult help = run_process({"kiln", verb, "--help"});
    EXPECT_EQ(help.code, 0) << help.err;
    EXPECT_THAT(help.out, HasSubstr(std::string("Usage: kiln ") + verb));
    EXPECT_THAT(help.out, HasSubstr("--threads"));
    EXPECT_EQ(run_process({"kiln", "help", verb}).out, help.out);
    const ProcessResult version = run_process({"kiln", verb, "--version"});
    EXPECT_EQ(version.code, 0);
    EXPECT_EQ(version.out, run_process({"kiln", "--version"}).out);
    EXPECT_TRUE(refused(run_process({"kiln", verb, "x", "--batch-sze", "3"}), 2,
                        {std::string("kiln ") + verb + ": --batch-sze: is no flag"}));
    EXPECT_TRUE(refused(run_process({"kiln", verb}), 2, {"is required"}));
    EXPECT_TRUE(
        refused(run_process({"kiln", verb, "x", "--threads", "99999"}), 2, {"--threads: "}));
  }
}

TEST_F(Dispatch, AMissingGpuIsAnHonestError) {
  std::string why;
  if (load_device(DeviceType::cuda, 0, why)) GTEST_SKIP() << "there is a GPU";
  const std::string model =
      save_random_model({.name = "tiny",
                         .height = 4,
                         .width = 4,
                         .class_count = 2,
                         .layers = {{.kind = LayerKind::flatten, .name = "flatten"},
                                    {.kind = LayerKind::linear, .name = "fc", .out_features = 2}}});
  EXPECT_TRUE(refused(run_process({"kiln", "inspect", model, "--device", "cuda"}), 1,
                      {"--device cuda: ", why, "use --device cpu"}));
}

TEST_F(Dispatch, AFullStandardOutputIsAnError) {
  const ProcessResult result =
      run_process({"/bin/sh", "-c", "exec '" + bin_folder() + "/kiln-inspect' lenet > /dev/full"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("standard output: cannot write"));
}

TEST_F(Dispatch, AClosedStandardOutputIsAnError) {
  const ProcessResult result =
      run_process({"/bin/sh", "-c", "exec '" + bin_folder() + "/kiln-inspect' lenet >&-"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("standard output: cannot write"));
}

// The helper itself: a program that hangs is ended, and its signal is seen.
TEST_F(Dispatch, HelperEndsWhatHangs) {
  const ProcessResult result = run_process({"/bin/sh", "-c", "sleep 100"}, 0.2);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.code, 128 + 9);
}

}  // namespace
}  // namespace kiln::test
