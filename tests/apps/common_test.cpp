// What all programs share, called directly.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <gmock/gmock.h>

#include "apps/common/app_main.h"
#include "apps/common/batch_runner.h"
#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "apps/common/signals.h"
#include "apps/common/text.h"
#include "apps/common/words.h"
#include "engine/core/error.h"
#include "kernels/include/load_device.h"

namespace kiln {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> normalised(std::vector<std::string> words) {
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words) argv.push_back(word.data());
  return normalise_flags(static_cast<int>(argv.size()), argv.data());
}

// Of both: the first stops the program, and the second is no reason to die behind its work.
TEST(SignalWatchDeath, ASecondSignalDoesNotEndTheProgram) {
  EXPECT_EXIT(
      {
        {
          SignalWatch signals(SIGUSR1);
          ::raise(SIGTERM);
          if (signals.pending() != SIGTERM) std::exit(1);
          ::raise(SIGTERM);
          ::raise(SIGINT);
        }
        std::exit(7);
      },
      testing::ExitedWithCode(7), "");
}

TEST(Flags, UnderscoresInNamesBecomeDashes) {
  EXPECT_THAT(normalised({"app", "--batch_size", "a_b", "--data_dir=x_y=z_", "-a_b", "a_b"}),
              ElementsAre("--batch-size", "a_b", "--data-dir=x_y=z_", "-a_b", "a_b"));
}

TEST(Flags, BehindTwoDashesNothingChanges) {
  EXPECT_THAT(normalised({"app", "--a_b", "--", "--a_b"}), ElementsAre("--a-b", "--", "--a_b"));
}

// Runs parse_flags on a small program and returns the message of its Error; "" for none.
std::string parse_error(std::vector<std::string> words) {
  CLI::App app("Trains", "kiln train");
  CommonOptions common;
  int batch_size = 64;
  std::string data;
  add_common_options(app, common);
  app.add_option("--batch-size", batch_size)->check(CLI::Range(1, 100));
  app.add_option("--data", data)->required();
  words.insert(words.begin(), "kiln-train");
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words) argv.push_back(word.data());
  try {
    parse_flags(app, static_cast<int>(argv.size()), argv.data());
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "";
}

TEST(Flags, FaultsNameTheFlag) {
  EXPECT_EQ(parse_error({"--data", "x", "--batch_size=4"}), "");
  EXPECT_THAT(parse_error({"--data", "x", "--batch-size", "0"}), HasSubstr("--batch-size: "));
  EXPECT_THAT(parse_error({"--data", "x", "--batch-size", "4x"}), HasSubstr("--batch-size: "));
  EXPECT_THAT(parse_error({}), HasSubstr("--data: is required; see kiln train --help"));
  EXPECT_THAT(parse_error({"--data"}), HasSubstr("--data: "));
  EXPECT_THAT(parse_error({"--data=", "--batch-size=4"}),
              HasSubstr("--data: needs a value behind its =; see kiln train --help"));
  EXPECT_EQ(parse_error({"--data", "x="}), "");
  EXPECT_THAT(parse_error({"--data", "x", "more"}), HasSubstr("more: is one argument too many"));
  EXPECT_THAT(parse_error({"--data", "x", "--device", "tpu"}), HasSubstr("--device: tpu not in"));
  EXPECT_THAT(parse_error({"--bach_size", "4"}),
              HasSubstr("--bach-size: is no flag of kiln train; did you mean --batch-size?"));
}

TEST(Device, AMissingGpuIsRefusedAndAutoSaysWhy) {
  std::string why;
  if (load_device(DeviceType::cuda, 0, why)) GTEST_SKIP() << "there is a GPU";
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  Log log(file);
  CommonOptions options;
  options.device = "cuda";
  try {
    choose_device(options, log);
    FAIL() << "--device cuda was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("--device cuda: " + why));
  }
  options.device = "auto";
  EXPECT_EQ(choose_device(options, log), Device{});
  std::rewind(file);
  char line[400] = {};
  ASSERT_NE(std::fgets(line, sizeof line, file), nullptr);
  EXPECT_THAT(line, testing::StartsWith("device: cpu, "));
  EXPECT_THAT(line, HasSubstr("(no GPU: " + why + ")"));
  std::fclose(file);
}

TEST(ChooseStorage, OfSixteenBitsTheCpuTakesBf16) {
  Log log(stderr, LogLevel::quiet);
  CommonOptions options;
  EXPECT_EQ(choose_storage(options, Device{}, log), DType::f32);
  options.math = "tf32";
  EXPECT_EQ(choose_storage(options, Device{}, log), DType::f32);
  options.math = "bf16";
  EXPECT_EQ(choose_storage(options, Device{}, log), DType::bf16);
  options.math = "fp16";
  try {
    choose_storage(options, Device{}, log);
    FAIL() << "fp16 was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("--math fp16: is not computed on the CPU"));
    EXPECT_THAT(error.what(), HasSubstr("use --math bf16"));
  }
}

// What was asked for and is not done must be said.
TEST(ChooseStorage, Tf32WithoutTensorCoresIsLogged) {
  std::FILE* file = std::tmpfile();
  Log log(file, LogLevel::info);
  CommonOptions options;
  options.math = "tf32";
  choose_storage(options, Device{}, log);
  std::rewind(file);
  char line[400] = {};
  ASSERT_NE(std::fgets(line, sizeof line, file), nullptr);
  EXPECT_THAT(line, HasSubstr("computed in fp32"));
  std::fclose(file);
}

int succeed(int, char**) { return 0; }
int leave(int, char**) { throw ExitEarly{7}; }
int run_out(int, char**) { throw std::bad_alloc(); }
int diverge(int, char**) { throw Error(ErrorKind::diverged, "step 3", "the loss is\nNaN"); }
int break_down(int, char**) { throw 5; }

TEST(RunApp, TurnsExceptionsIntoOneLineAndACode) {
  const auto run = [](int (*body)(int, char**), std::string& text) {
    testing::internal::CaptureStderr();
    const int code = run_app("kiln test", 0, nullptr, body);
    text = testing::internal::GetCapturedStderr();
    return code;
  };
  std::string text;
  EXPECT_EQ(run(succeed, text), 0);
  EXPECT_EQ(text, "");
  EXPECT_EQ(run(leave, text), 7);
  EXPECT_EQ(text, "");
  EXPECT_EQ(run(run_out, text), 1);
  EXPECT_THAT(text, testing::StartsWith("kiln test: memory: "));
  EXPECT_EQ(run(diverge, text), 3);
  EXPECT_EQ(text, "kiln test: step 3: the loss is\\x0aNaN\n");
  EXPECT_EQ(run(break_down, text), 1);
  EXPECT_EQ(text, "kiln test: internal error of an unknown kind\n");
}

TEST(Text, NumbersAsPeopleReadThem) {
  EXPECT_EQ(grouped_text(0), "0");
  EXPECT_EQ(grouped_text(999), "999");
  EXPECT_EQ(grouped_text(62006), "62,006");
  EXPECT_EQ(grouped_text(-1234567), "-1,234,567");
  EXPECT_EQ(percent_text(0.63412), "63.41 %");
  EXPECT_EQ(bytes_text(1536), "1.5 KiB");
  EXPECT_EQ(left("dög", 5), "dög  ");
  EXPECT_EQ(left("dögs", 3), "dög");
  EXPECT_EQ(right("a\x1b", 6), " a\\x1b");
  EXPECT_EQ(bar(0.5, 4, false), "##");
  EXPECT_EQ(bar(0.5, 4, true), "██");
  EXPECT_EQ(bar(2.0, 2, false), "##");
}

TEST(Environment, NamesWhatAResultDependsOn) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : environment_info(3)) {
    keys.push_back(key);
    EXPECT_FALSE(value.empty()) << key;
    if (key == "threads") {
      EXPECT_EQ(value, "3");
    }
  }
  for (const char* key : {"kiln", "processor", "threads", "instruction set", "compiler"})
    EXPECT_THAT(keys, testing::Contains(key));
}

TEST(Probabilities, AreTheSoftmaxOfARow) {
  const std::vector<float> logits = {9, 9, 1000, 1001};  // the second row would overflow exp
  const Tensor z(std::span<const float>(logits), Shape{2, 2});
  EXPECT_THAT(probabilities(z, 0), ElementsAre(0.5f, 0.5f));
  EXPECT_THAT(probabilities(z, 1),
              ElementsAre(testing::FloatEq(0.26894142f), testing::FloatEq(0.7310586f)));
}

TEST(FirstLargest, TakesTheFirstAndRefusesNaN) {
  const std::vector<float> values = {1, 3, 3};
  EXPECT_EQ(first_largest(values), 1);
  const std::vector<float> broken = {1, std::numeric_limits<float>::quiet_NaN(), 3};
  EXPECT_EQ(first_largest(broken), -1);
}

}  // namespace
}  // namespace kiln
