// Flags, their twins in the environment, SageMaker's variables, and which of them is stronger.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/common/app_main.h"
#include "apps/common/twins.h"
#include "apps/serve/settings.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

using testing::HasSubstr;

ServeSettings read(std::vector<std::string> words, const std::vector<std::string>& variables = {}) {
  words.insert(words.begin(), "kiln-serve");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return read_serve_settings(static_cast<int>(argv.size()), argv.data(), variables);
}

std::string fault(const std::vector<std::string>& words,
                  const std::vector<std::string>& variables = {}) {
  try {
    read(words, variables);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2) << error.what();
    return error.what();
  }
  return "";
}

ServeSettings::Row row(const ServeSettings& settings, const std::string& name) {
  for (const auto& row : settings.rows)
    if (row.name == name) return row;
  ADD_FAILURE() << "no row " << name;
  return {};
}

TEST(ServeSettings, DefaultsAreWhatAContainerNeeds) {
  const ServeSettings s = read({"m"});
  EXPECT_EQ(s.root, "m");
  EXPECT_EQ(s.address, "0.0.0.0");
  EXPECT_EQ(s.port, 8080);
  EXPECT_EQ(s.common.device, "cpu");
  EXPECT_EQ(s.max_body_bytes, 6u << 20);
  EXPECT_EQ(s.max_batch, std::nullopt) << "the model's card may still say";
  EXPECT_FALSE(s.allow_plugins);
  EXPECT_EQ(row(s, "max-batch").value, "32");
  EXPECT_EQ(row(s, "max-batch").origin, "default");
  EXPECT_EQ(row(s, "model").origin, "argument");
  EXPECT_EQ(row(s, "no-ui").value, "false");
}

TEST(ServeSettings, AFlagIsStrongerThanItsTwinAndThatThanSageMaker) {
  const std::vector<std::string> all = {"KILN_PORT=9001", "SAGEMAKER_BIND_TO_PORT=9002"};
  EXPECT_EQ(read({"m", "--port", "9000"}, all).port, 9000);
  EXPECT_EQ(row(read({"m", "--port", "9000"}, all), "port").origin, "flag --port");
  EXPECT_EQ(read({"m"}, all).port, 9001);
  EXPECT_EQ(row(read({"m"}, all), "port").origin, "environment KILN_PORT");
  EXPECT_EQ(read({"m"}, {all[1]}).port, 9002);
  EXPECT_EQ(row(read({"m"}, {all[1]}), "port").value, "9002");
  EXPECT_EQ(row(read({"m"}, {all[1]}), "port").origin, "environment SAGEMAKER_BIND_TO_PORT");
}

TEST(ServeSettings, EveryFlagHasATwin) {
  const ServeSettings s = read({"m"});
  ASSERT_GT(s.rows.size(), 25u);
  for (const auto& setting : s.rows) {
    if (setting.name == "model" || setting.value.empty()) continue;
    const ServeSettings twin = read({"m"}, {twin_of(setting.name) + "=" + setting.value});
    EXPECT_EQ(row(twin, setting.name).origin, "environment " + twin_of(setting.name));
    EXPECT_EQ(row(twin, setting.name).value, setting.value);
  }
}

TEST(ServeSettings, ASwitchIsOnOrOffInTheWordsThatPeopleWrite) {
  for (const char* on : {"1", "true", "YES", "on"})
    EXPECT_TRUE(read({"m"}, {std::string("KILN_NO_UI=") + on}).no_ui) << on;
  for (const char* off : {"0", "False", "no", "off"})
    EXPECT_FALSE(read({"m"}, {std::string("KILN_NO_UI=") + off}).no_ui) << off;
  EXPECT_THAT(fault({"m"}, {"KILN_NO_UI=maybe"}), HasSubstr("KILN_NO_UI: cannot be maybe"));
  EXPECT_TRUE(read({"m", "--no-ui"}, {"KILN_NO_UI=0"}).no_ui);
}

TEST(ServeSettings, SageMakersVariables) {
  const ServeSettings s =
      read({"m"}, {"SAGEMAKER_MODEL_SERVER_WORKERS=3", "SAGEMAKER_MODEL_SERVER_TIMEOUT=20",
                   "SAGEMAKER_MAX_PAYLOAD_IN_MB=5", "SAGEMAKER_TS_BATCH_SIZE=7",
                   "SAGEMAKER_TS_MAX_BATCH_DELAY=2", "SAGEMAKER_CONTAINER_LOG_LEVEL=10",
                   "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT=text/csv", "SAGEMAKER_PROGRAM=x.py"});
  EXPECT_EQ(s.common.thread_count, 3);
  EXPECT_EQ(s.request_time_ms, 20'000);
  EXPECT_EQ(s.max_body_bytes, 5u << 20);
  EXPECT_EQ(s.max_batch, 7);
  EXPECT_EQ(s.max_delay_us, 2'000);
  EXPECT_EQ(s.common.log_level, "debug");
  EXPECT_EQ(s.default_accept, "text/csv");
  EXPECT_EQ(read({"m"},
                 {"SAGEMAKER_MODEL_SERVER_TIMEOUT=20", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS=30"})
                .request_time_ms,
            30'000);
  EXPECT_EQ(read({"m"}, {"SAGEMAKER_CONTAINER_LOG_LEVEL=40"}).common.log_level, "quiet");
  EXPECT_THAT(fault({"m"}, {"SAGEMAKER_BIND_TO_PORT=eighty"}),
              HasSubstr("SAGEMAKER_BIND_TO_PORT: cannot be eighty"));
  EXPECT_THAT(fault({"m"}, {"SAGEMAKER_BIND_TO_PORT=99999"}), HasSubstr("SAGEMAKER_BIND_TO_PORT"));
}

TEST(ServeSettings, AnEmptyVariableOfSageMakersIsNone) {
  const ServeSettings s =
      read({"m"}, {"SAGEMAKER_MODEL_SERVER_WORKERS=", "SAGEMAKER_TS_MAX_WORKERS=3",
                   "SAGEMAKER_MODEL_SERVER_TIMEOUT=", "SAGEMAKER_BIND_TO_PORT=",
                   "SAGEMAKER_CONTAINER_LOG_LEVEL=", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="});
  EXPECT_EQ(s.common.thread_count, 3) << "the next one counts";
  EXPECT_EQ(s.port, 8080);
  EXPECT_EQ(row(s, "port").origin, "default");
  EXPECT_EQ(s.default_accept, "application/json");
}

TEST(ServeSettings, VariablesOfMultiModelEndpoints) {
  EXPECT_TRUE(read({"m"}, {"SAGEMAKER_MULTI_MODEL=true"}).multi_model);
  for (const char* other : {"True", "1", "yes", "", " true", "false"})
    EXPECT_FALSE(read({"m"}, {std::string("SAGEMAKER_MULTI_MODEL=") + other}).multi_model) << other;
  EXPECT_EQ(read({"serve"}, {"SAGEMAKER_MULTI_MODEL=true"}).root, "/opt/ml/models");
  EXPECT_EQ(read({}, {"SAGEMAKER_MULTI_MODEL=true", "SAGEMAKER_BASE_DIR=/none"}).root,
            "/none/models");
  EXPECT_EQ(read({"--multi-model"}, {"SAGEMAKER_BASE_DIR="}).root, "/opt/ml/models");
}

TEST(ServeSettings, VariablesOfBatchTransform) {
  for (const char* on : {"true", "True"}) {
    const ServeSettings s = read(
        {"m"}, {std::string("SAGEMAKER_BATCH=") + on, "SAGEMAKER_MAX_PAYLOAD_IN_MB=0",
                "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS=3", "SAGEMAKER_BATCH_STRATEGY=MULTI_RECORD"});
    EXPECT_EQ(s.max_body_bytes, 1u << 30) << "0 is no limit there";
    EXPECT_EQ(s.max_concurrent_transforms, 3);
    EXPECT_EQ(s.request_time_ms, 3'600'000);
    EXPECT_EQ(s.queue, 65'536);
  }
  EXPECT_EQ(read({"m"}, {"SAGEMAKER_BATCH=false"}).queue, std::nullopt);
  EXPECT_EQ(
      read({"m"}, {"SAGEMAKER_BATCH=true", "SAGEMAKER_MODEL_SERVER_TIMEOUT=5"}).request_time_ms,
      5'000);
}

TEST(ServeSettings, WorkersAndTimesInEveryNameThatSageMakerHasForThem) {
  EXPECT_EQ(read({"m"}, {"SAGEMAKER_TS_MIN_WORKERS=2"}).common.thread_count, 2);
  EXPECT_EQ(
      read({"m"}, {"SAGEMAKER_TS_MIN_WORKERS=2", "SAGEMAKER_TS_MAX_WORKERS=4"}).common.thread_count,
      4);
  EXPECT_EQ(read({"m"}, {"SAGEMAKER_TS_MAX_WORKERS=4", "SAGEMAKER_MODEL_SERVER_WORKERS=1"})
                .common.thread_count,
            1);
  EXPECT_EQ(read({"m"}, {"SAGEMAKER_TS_RESPONSE_TIMEOUT=7"}).request_time_ms, 7'000);
  EXPECT_EQ(read({"m"}, {"SAGEMAKER_STARTUP_TIMEOUT=9"}).startup_time_ms, 9'000);
  EXPECT_EQ(read({"m"}, {}).startup_time_ms, 600'000);
}

TEST(ServeSettings, ThePortRangeIsChecked) {
  EXPECT_EQ(fault({"m"}, {"SAGEMAKER_SAFE_PORT_RANGE=13000-14000"}), "");
  for (const char* bad : {"13000", "14000-13000", "a-b", "1-99999", "1-2-3", "-1-5"})
    EXPECT_THAT(fault({"m"}, {std::string("SAGEMAKER_SAFE_PORT_RANGE=") + bad}),
                HasSubstr("SAGEMAKER_SAFE_PORT_RANGE: cannot be "))
        << bad;
}

TEST(ServeSettings, PythonCodeThatIsNotRunIsNamed) {
  EXPECT_THAT(read({"m"}, {"SAGEMAKER_PROGRAM=inference.py", "SAGEMAKER_SUBMIT_DIRECTORY="}).notes,
              testing::ElementsAre(HasSubstr("SAGEMAKER_PROGRAM: inference.py")));
  EXPECT_TRUE(read({"m"}).notes.empty());
}

TEST(ServeSettings, UnknownAndImpossibleThingsAreErrorsWithAMend) {
  EXPECT_THAT(fault({"m", "--prot", "1"}), HasSubstr("did you mean --port?"));
  EXPECT_THAT(fault({"m"}, {"KILN_MAX_BATHC=1"}), HasSubstr("did you mean KILN_MAX_BATCH?"));
  EXPECT_THAT(fault({"m"}, {"KILN_ZZZZZZZZ=1"}), HasSubstr("KILN_ZZZZZZZZ: is no variable"));
  for (const char* name : {"KILN_HELP", "KILN_VERSION", "KILN_PRINT_CONFIG", "KILN_MODEL"})
    EXPECT_THAT(fault({"m"}, {std::string(name) + "=1"}), HasSubstr("is no variable")) << name;
  EXPECT_THAT(fault({"m"}, {"KILN_PORT=70000"}), HasSubstr("KILN_PORT: cannot be 70000"));
  EXPECT_THAT(fault({"m"}, {"KILN_PORT="}), HasSubstr("KILN_PORT"));
  EXPECT_NE(fault({"m", "--port", "-1"}), "");
  EXPECT_NE(fault({"m", "--max-batch", "0"}), "");
  EXPECT_NE(fault({"m", "extra"}), "");
  EXPECT_THAT(fault({}, {"SAGEMAKER_BASE_DIR=/nowhere"}),
              HasSubstr("model: is missing, and there is no /nowhere/model"));
}

TEST(ServeSettings, AFlagIsReadInEveryWayThatPeopleWriteIt) {
  EXPECT_EQ(read({"m", "--max_batch=7"}).max_batch, 7);
  EXPECT_EQ(read({"m", "--name", "--port"}).name, "--port") << "what follows is its value";
  EXPECT_EQ(read({"m", "--name=a=b"}).name, "a=b");
  EXPECT_EQ(read({"--", "--odd"}).root, "--odd");
  EXPECT_TRUE(read({"m", "--no-ui"}).no_ui);
  EXPECT_FALSE(read({"m", "--no-ui=false"}).no_ui);
  EXPECT_EQ(row(read({"m", "--no-ui=ON"}), "no-ui").value, "true");
  EXPECT_THAT(fault({"m", "--no-ui=maybe"}), HasSubstr("--no-ui: cannot be maybe"));
  EXPECT_THAT(fault({"m", "--port"}), HasSubstr("--port: needs a value"));
  EXPECT_THAT(fault({"m", "--port="}), HasSubstr("--port: needs a value"));
  EXPECT_THAT(fault({"m", "--port", "1", "--port", "2"}), HasSubstr("--port: is given twice"));
  EXPECT_THAT(fault({"m", "--port", "70000"}), HasSubstr("value 70000 not in range 0 to 65535"));
  EXPECT_THAT(fault({"m", "--queue", "3.0"}), HasSubstr("value 3.0 not in range 1 to 1048576"));
  EXPECT_THAT(fault({"m", "--queue", "99999999999999999999"}), HasSubstr("not in range"));
  EXPECT_THAT(fault({"m", "--versions", "new"}), HasSubstr("new not in {all,latest}"));
  EXPECT_THAT(fault({"m", "-p"}), HasSubstr("-p: is no flag of kiln serve"));
  EXPECT_THAT(fault({"m", "n", "--port", "x"}), HasSubstr("n: is one argument too many"));
}

TEST(ServeSettings, HelpNamesEveryFlagWithItsDefault) {
  testing::internal::CaptureStdout();
  EXPECT_THROW(read({"--prot", "x", "-h"}), ExitEarly) << "whatever else is wrong";
  const std::string help = testing::internal::GetCapturedStdout();
  for (const auto& setting : read({"m"}).rows)
    EXPECT_TRUE(setting.name == "model" || help.find("\n  --" + setting.name) != help.npos)
        << setting.name;
  EXPECT_THAT(help, HasSubstr("Usage: kiln serve [OPTIONS] [model]\n"));
  EXPECT_THAT(help, HasSubstr("  --port INT:INT in [0 - 65535]=8080\n"
                              "                              Port; 0: the system chooses"));
  EXPECT_THAT(help, HasSubstr("  --max-batch INT:INT in [1 - 4096]=32\n"));
  EXPECT_THAT(help, HasSubstr("  --no-ui                     Without the page at /\n"));
}

TEST(ServeSettings, WhatKubernetesSetsForAServiceNamedKilnIsNoSetting) {
  const std::vector<std::string> links = {
      "KILN_SERVICE_HOST=10.0.0.1",         "KILN_SERVICE_PORT=80",
      "KILN_SERVICE_PORT_HTTP=80",          "KILN_PORT=tcp://10.0.0.1:80",
      "KILN_PORT_80_TCP=tcp://10.0.0.1:80", "KILN_PORT_80_TCP_PROTO=tcp",
      "KILN_PORT_80_TCP_PORT=80",           "KILN_PORT_80_TCP_ADDR=10.0.0.1"};
  EXPECT_EQ(read({"m"}, links).port, 8080);
}

TEST(ServeSettings, AContainersCommandIsNoModel) {
  const ServeSettings s = read({"serve", "--print-config"}, {"SAGEMAKER_BASE_DIR=/base"});
  EXPECT_EQ(s.root, "/base/model");
  EXPECT_TRUE(s.print_config);
  EXPECT_EQ(read({"serve", "m"}).root, "m");
  EXPECT_EQ(row(s, "model").origin, "default");
}

TEST(ServeSettings, TheTableHasARowForEach) {
  const std::string table = to_table(read({"m", "--port=9"}).rows);
  EXPECT_THAT(table, HasSubstr("port  "));
  EXPECT_THAT(table, HasSubstr("flag --port\n"));
  EXPECT_THAT(table, testing::Not(HasSubstr("print-config")));
}

}  // namespace
}  // namespace kiln
