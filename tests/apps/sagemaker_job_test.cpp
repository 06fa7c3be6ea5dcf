// From a training job's files to variables and settings; no run among them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

#include "apps/sagemaker-train/plan.h"
#include "apps/sagemaker-train/variables.h"
#include "engine/core/error.h"
#include "tests/apps/error_of.h"
#include "tests/apps/sagemaker_plan.h"
#include "tests/support/temp_folder.h"

namespace kiln::sagemaker {
namespace {

using test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(SageMakerJob, ValuesAreDecodedOnce) {
  const struct {
    const char* text;
    Json value;
  } table[] = {
      {"0.1", 0.1},
      {"16", 16},
      {"true", true},
      {"null", nullptr},
      {"\"gloo\"", "gloo"},
      {"gloo", "gloo"},
      {"007", "007"},
      {"", ""},
      {"\"\\\"gloo\\\"\"", "\"gloo\""},
      {"[1, 2]", {1, 2}},
      {"{\"a\": 1}", {{"a", 1}}},
      {"{\"a\": 1, \"a\": 2}", "{\"a\": 1, \"a\": 2}"},
      {" 5 ", 5},
      {"1e400", "1e400"},
  };
  for (const auto& [text, value] : table) EXPECT_EQ(decode_hyperparameter(text), value) << text;
  EXPECT_EQ(decode_hyperparameter(7), 7) << "what is no text stays";
}

TEST(SageMakerJob, WhatIsWrongIsNamed) {
  const char* hosts = R"({"current_host": "a", "hosts": ["a", "b"]})";
  EXPECT_EQ(parse_job({.resources = hosts}).resources.hosts.size(), 2u);
  const struct {
    JobTexts texts;
    const char* what;
  } table[] = {
      {{.hyperparameters = "[]"}, "hyperparameters.json: is no JSON object"},
      {{.hyperparameters = "{"}, "hyperparameters.json: is not JSON"},
      {{.hyperparameters = " "}, "hyperparameters.json: is not JSON"},
      {{.hyperparameters = R"({"a": "1", "a": "2"})"}, "has the key \"a\" twice"},
      {{.hyperparameters = R"({"": "1"})"}, "is no name of a hyperparameter"},
      {{.hyperparameters = R"({"a=b": "1"})"}, "a=b: is no name of a hyperparameter"},
      {{.hyperparameters = "{\"a\\u0000b\": \"1\"}"}, "is no name of a hyperparameter"},
      {{.resources = "{}"}, "resourceconfig.json: current_host: is missing"},
      {{.resources = R"({"current_host": "a"})"}, "resourceconfig.json: hosts: is missing"},
      {{.resources = R"({"current_host": "a", "hosts": []})"}, "hosts: is no list"},
      {{.resources = R"({"current_host": "a", "hosts": "a"})"}, "hosts: is no list"},
      {{.resources = R"({"current_host": "c", "hosts": ["a"]})"}, "is not among the hosts"},
      {{.resources = R"({"current_host": "a", "hosts": ["a", "a"]})"}, "names a host twice"},
      {{.resources = R"({"current_host": "../a", "hosts": ["../a"]})"}, "is no name"},
      {{.resources = R"({"current_host": "a", "hosts": ["a"], "instance_groups": [{}]})"},
       "without instance_group_name"},
      {{.channels = R"({"../x": {}})"}, "is no channel's name"},
      {{.channels = R"({"training": 1})"}, "training: is no object"},
      {{.channels = R"({"training": {"TrainingInputMode": "Pipe"}})"}, "comes as Pipe"},
      {{.channels = R"({"training": {"TrainingInputMode": "x"}})"}, "unknown TrainingInputMode"},
  };
  for (const auto& row : table)
    EXPECT_THAT(error_of([&] { parse_job(row.texts); }), HasSubstr(row.what));
}

TEST(SageMakerJob, ANullIsAsIfItWereNotThere) {
  const Resources r = parse_job({.resources = R"({"current_host": "a", "hosts": ["a"],
      "network_interface_name": null, "current_instance_type": null, "current_group_name": null,
      "instance_groups": null})"})
                          .resources;
  EXPECT_EQ(r.network_interface, "eth0");
  EXPECT_EQ(r.instance_type, "local");
  EXPECT_EQ(r.instance_group, "homogeneousCluster");
  EXPECT_TRUE(r.groups.empty());
}

TEST(SageMakerJob, ReservedKeysAreNoHyperparameters) {
  const Job job = parse_job({.hyperparameters = R"({"lr": "0.1", "sagemaker_program": "\"t.py\"",
      "_tuning_objective_metric": "loss", "default_user_module_name": "x"})"});
  EXPECT_EQ(job.hyperparameters, Json({{"lr", 0.1}}));
  EXPECT_EQ(job.framework, Json({{"sagemaker_program", "t.py"}}));
  EXPECT_EQ(job.framework_text("sagemaker_program"), "t.py");
  EXPECT_EQ(job.framework_text("sagemaker_region"), "");
  EXPECT_EQ(job.log_level(), 20);
  EXPECT_EQ(
      parse_job({.hyperparameters = R"({"sagemaker_container_log_level": "30"})"}).log_level(), 30);
}

Job two_groups() {
  return parse_job({.hyperparameters = R"({"batch-size": "16", "lr": "0.1", "name": "\"\u00e4\"",
                      "flag": "true", "none": "null", "sagemaker_program": "\"train.py\"",
                      "sagemaker_job_name": "\"job-1\"", "sagemaker_region": "eu-central-1",
                      "sagemaker_extra": "3"})",
                    .resources = R"({"current_host": "algo-2", "hosts": ["algo-1", "algo-2"],
                      "network_interface_name": "eth1", "current_instance_type": "ml.c5.large",
                      "current_group_name": "two", "topology": null, "instance_groups": [
                        {"instance_group_name": "one", "instance_type": "x", "hosts": ["algo-1"]},
                        {"instance_group_name": "two", "instance_type": "y",
                         "hosts": ["algo-2"]}]})",
                    .channels = R"({"training": {"TrainingInputMode": "FastFile"},
                      "my-test": {"TrainingInputMode": "File"}})"});
}

TEST(SageMakerVariables, AreThoseOfTheToolkit) {
  Variables v =
      sm_variables(two_groups(), kPaths, {4, 1, 0, "elsewhere"}, "train.py", {"--lr", "0.1"});
  EXPECT_THAT(v.at("SM_TRAINING_ENV"), StartsWith(R"({"additional_framework_parameters":{"sagem)"));
  EXPECT_THAT(v.at("SM_TRAINING_ENV"), HasSubstr(R"("job_name":"job-1")"));
  v.erase("SM_TRAINING_ENV");
  const std::string groups =
      R"({"one":{"hosts":["algo-1"],"instance_group_name":"one","instance_type":"x"},)"
      R"("two":{"hosts":["algo-2"],"instance_group_name":"two","instance_type":"y"}})";
  const Variables expected = {
      {"CURRENT_HOST", "algo-2"},
      {"SAGEMAKER_JOB_NAME", "job-1"},
      {"SAGEMAKER_REGION", "eu-central-1"},
      {"SM_CHANNELS", R"(["my-test","training"])"},
      {"SM_CHANNEL_MY-TEST", "/opt/ml/input/data/my-test"},
      {"SM_CHANNEL_MY_TEST", "/opt/ml/input/data/my-test"},
      {"SM_CHANNEL_TRAINING", "/opt/ml/input/data/training"},
      {"SM_CURRENT_HOST", "algo-2"},
      {"SM_CURRENT_HOST_RANK", "1"},
      {"SM_CURRENT_INSTANCE_GROUP", "two"},
      {"SM_CURRENT_INSTANCE_GROUP_HOSTS", R"(["algo-2"])"},
      {"SM_CURRENT_INSTANCE_TYPE", "ml.c5.large"},
      {"SM_DISTRIBUTION_INSTANCE_GROUPS", "[]"},
      {"SM_FRAMEWORK_MODULE", "kiln:train"},
      {"SM_FRAMEWORK_PARAMS", R"({"sagemaker_extra":3})"},
      {"SM_HOSTS", R"(["algo-1","algo-2"])"},
      {"SM_HOST_COUNT", "2"},
      {"SM_HPS", R"({"batch-size":16,"flag":true,"lr":0.1,"name":"\u00e4","none":null})"},
      {"SM_HP_BATCH-SIZE", "16"},
      {"SM_HP_BATCH_SIZE", "16"},
      {"SM_HP_FLAG", "true"},
      {"SM_HP_LR", "0.1"},
      {"SM_HP_NAME", "\u00e4"},
      {"SM_HP_NONE", ""},
      {"SM_INPUT_CONFIG_DIR", "/opt/ml/input/config"},
      {"SM_INPUT_DATA_CONFIG",
       R"({"my-test":{"TrainingInputMode":"File"},"training":{"TrainingInputMode":"FastFile"}})"},
      {"SM_INPUT_DIR", "/opt/ml/input"},
      {"SM_INSTANCE_GROUPS", R"(["one","two"])"},
      {"SM_INSTANCE_GROUPS_DICT", groups},
      {"SM_IS_HETERO", "true"},
      {"SM_LOG_LEVEL", "20"},
      {"SM_MASTER_ADDR", "algo-1"},
      {"SM_MASTER_PORT", "7777"},
      {"SM_MODEL_DIR", "/opt/ml/model"},
      {"SM_MODULE_DIR", "/opt/ml/code"},
      {"SM_MODULE_NAME", "train"},
      {"SM_NETWORK_INTERFACE_NAME", "eth1"},
      {"SM_NUM_CPUS", "4"},
      {"SM_NUM_GPUS", "1"},
      {"SM_NUM_NEURONS", "0"},
      {"SM_OUTPUT_DATA_DIR", "/opt/ml/output/data"},
      {"SM_OUTPUT_DIR", "/opt/ml/output"},
      {"SM_OUTPUT_INTERMEDIATE_DIR", "/opt/ml/output/intermediate"},
      {"SM_RESOURCE_CONFIG",
       R"({"current_group_name":"two","current_host":"algo-2","current_instance_type":)"
       R"("ml.c5.large","hosts":["algo-1","algo-2"],"instance_groups":[{"hosts":["algo-1"],)"
       R"("instance_group_name":"one","instance_type":"x"},{"hosts":["algo-2"],)"
       R"("instance_group_name":"two","instance_type":"y"}],"network_interface_name":"eth1",)"
       R"("topology":null})"},
      {"SM_TOPOLOGY", ""},
      {"SM_USER_ARGS", R"(["--lr","0.1"])"},
      {"SM_USER_ENTRY_POINT", "train.py"},
  };
  for (const auto& [name, value] : expected) {
    ASSERT_TRUE(v.contains(name)) << name;
    EXPECT_EQ(v.at(name), value) << name;
  }
  for (const auto& [name, value] : v) EXPECT_TRUE(expected.contains(name)) << name << "=" << value;
}

TEST(SageMakerVariables, TheRegionIsTheMachinesWhereTheJobSaysNone) {
  const Variables told = sm_variables({}, kPaths, {.region = "eu-west-1"}, "train.py", {});
  EXPECT_EQ(told.at("SAGEMAKER_REGION"), "eu-west-1");
  const Variables none = sm_variables({}, kPaths, {}, "train.py", {});
  EXPECT_FALSE(none.contains("SAGEMAKER_REGION")) << "one of the job's environment stays";
}

TEST(SageMakerVariables, ArgumentsAreWrittenAsPythonDoes) {
  EXPECT_THAT(script_arguments({{"b", true},
                                {"batch_size", 16},
                                {"lr", 0.1},
                                {"list", {"a", 1, false, nullptr}},
                                {"none", nullptr},
                                {"object", {{"y", 2}, {"x", "one"}}},
                                {"text", "it is"}}),
              ElementsAre("-b", "True", "--batch_size", "16", "--list", "['a', 1, False, None]",
                          "--lr", "0.1", "--none", "", "--object", "x=one,y=2", "--text", "it is"));
}

const char* const kTwoHosts = R"({"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]})";
const char* const kSharded = R"({"training": {"S3DistributionType": "ShardedByS3Key"}})";

TEST(SageMakerPlan, HostsShareTheRanks) {
  const char* channel = R"({"training": {}, "other": {"S3DistributionType": "ShardedByS3Key"}})";
  const struct {
    const char* hyperparameters;
    std::int64_t ranks, each;
    const char* hosts;
  } table[] = {
      {"{}", 2, 1, "algo-1:1,algo-2:1"},
      {R"({"sagemaker_mpi_num_of_processes_per_host": "8"})", 16, 8, "algo-1:8,algo-2:8"},
      {R"({"ranks": "4", "sagemaker_mpi_num_of_processes_per_host": "8"})", 4, 2,
       "algo-1:2,algo-2:2"},
  };
  for (const auto& [hyperparameters, ranks, each, hosts] : table) {
    const Plan plan = plan_of(hyperparameters, {}, channel, kTwoHosts);
    EXPECT_EQ(plan.flags.ranks, ranks) << hyperparameters;
    EXPECT_EQ(plan.ranks_per_host(), each) << hyperparameters;
    EXPECT_EQ(plan.flags.hosts, hosts) << hyperparameters;
  }
  // One host has all of the pictures, however they are distributed.
  const Plan alone = plan_of("{}", {}, kSharded);
  EXPECT_EQ(alone.flags.hosts, "");
  EXPECT_EQ(alone.flags.ranks, 0);
}

TEST(SageMakerPlan, ARankIsNamedWithItsHost) {
  const Plan plan = plan_of(R"({"ranks": "4"})", {}, R"({"training": {}})", kTwoHosts);
  EXPECT_EQ(with_host("rank 2: has died: x", plan), "rank 2 (host algo-2): has died: x");
  EXPECT_EQ(with_host("rank 1: hangs", plan), "rank 1 (host algo-1): hangs");
  for (const char* same : {"rank 4: has died", "rank x: has died", "rank 1", "rank ", "ranks", ""})
    EXPECT_EQ(with_host(same, plan), same);
  EXPECT_EQ(with_host("rank 1: hangs", plan_of(R"({"ranks": "4"})")), "rank 1: hangs");
}

TEST(SageMakerPlan, EveryScriptHasItsDefaults) {
  const struct {
    const char* program;
    std::int64_t epochs, batch_size;
    double lr, momentum;
    const char *optimizer, *schedule, *model;
    std::uint64_t seed;
  } table[] = {
      {"train.py", 1, 4, 0.001, 0.9, "sgd", "constant", "lenet", 1},
      {"train_spot.py", 2, 4, 0.001, 0.9, "sgd", "constant", "lenet", 1},
      {"train_horovod.py", 1, 64, 0.01, 0.5, "sgd", "constant", "lenet", 42},
      {"train_ddp.py", 1, 64, 0.01, 0.9, "adadelta", "step", "lenet", 42},
      {"cifar10.py", 2, 4, 0.001, 0.9, "sgd", "constant", "lenet", 1},
      {"mnist.py", 1, 64, 0.001, 0.9, "adam", "constant", "mnist", 1},
  };
  for (const auto& row : table) {
    SCOPED_TRACE(row.program);
    const Plan plan = plan_of("{\"sagemaker_program\": \"" + std::string(row.program) + "\"}");
    EXPECT_EQ(plan.script->program, row.program);
    EXPECT_EQ(plan.flags.epochs, row.epochs);
    EXPECT_EQ(plan.flags.batch_size, row.batch_size);
    EXPECT_EQ(plan.flags.lr, row.lr);
    EXPECT_EQ(plan.flags.momentum, row.momentum);
    EXPECT_EQ(plan.flags.optimizer, row.optimizer);
    EXPECT_EQ(plan.flags.schedule, row.schedule);
    EXPECT_EQ(plan.flags.model, row.model);
    EXPECT_EQ(plan.flags.seed, row.seed);
    EXPECT_EQ(plan.flags.data, "/opt/ml/input/data/training");
    EXPECT_EQ(plan.flags.model_dir, "/opt/ml/model");
    EXPECT_EQ(plan.flags.output_dir, "/opt/ml/output/data");
    EXPECT_EQ(plan.flags.checkpoint_path, "/opt/ml/checkpoints");
    EXPECT_TRUE(plan.flags.resume_if_present);
  }
  EXPECT_EQ(plan_of("{}").script->program, "train.py");
  EXPECT_EQ(plan_of(R"({"sagemaker_program": "train_horovod.py"})").flags.lr_scaling, "linear");
  EXPECT_FALSE(plan_of(R"({"sagemaker_program": "train_horovod.py"})").flags.global_batch);
  EXPECT_TRUE(plan_of(R"({"sagemaker_program": "train_ddp.py"})").flags.global_batch);
  EXPECT_EQ(plan_of(R"({"sagemaker_mpi_num_of_processes_per_host": "4"})").flags.ranks, 4);
  EXPECT_EQ(plan_of("{\"sagemaker_program\": \"mnist.py\"}").flags.weight_decay, 1e-4);
}

TEST(SageMakerPlan, NamesOfTheWorkshopAndOfKilnTrainAreTaken) {
  const Plan plan = plan_of(R"({"epochs": "10", "batch_size": "16", "learning-rate": "0.1",
      "workers": "2", "dist_backend": "\"gloo\"", "test-batch-size": "1000", "verbose": "true",
      "data-dir": "/data", "checkpoint_path": "/ck", "nesterov": "true", "model": "resnet18",
      "mean": "[0.1, 0.2, 0.3]", "std": "[1, 1, 1]", "gamma": "null", "beta_1": "0.8"})");
  EXPECT_EQ(plan.flags.beta1, 0.8);
  EXPECT_EQ(plan.flags.epochs, 10);
  EXPECT_EQ(plan.flags.batch_size, 16);
  EXPECT_EQ(plan.flags.lr, 0.1);
  EXPECT_EQ(plan.flags.workers, 2);
  EXPECT_EQ(plan.flags.data, "/data");
  EXPECT_EQ(plan.flags.checkpoint_path, "/ck");
  EXPECT_TRUE(plan.flags.nesterov);
  EXPECT_EQ(plan.flags.model, "resnet18");
  EXPECT_THAT(plan.flags.mean, ElementsAre(0.1, 0.2, 0.3));
  EXPECT_EQ(plan.flags.gamma, 0.7) << "null is as if it were not there";
  EXPECT_THAT(plan.ignored,
              ElementsAre(StartsWith("dist_backend changes nothing"),
                          StartsWith("test-batch-size changes nothing"),
                          StartsWith("verbose changes nothing"), StartsWith("channel training")));
}

TEST(SageMakerPlan, AScriptMayLieInAFolder) {
  const Plan plan = plan_of(R"({"sagemaker_program": "\"source/train_spot.py\""})");
  EXPECT_EQ(plan.script->program, "train_spot.py");
  EXPECT_EQ(plan.entry_point, "source/train_spot.py");
  EXPECT_EQ(plan_of("{}").entry_point, "train.py");
  EXPECT_THAT(error_of([] { plan_of(R"({"sagemaker_program": "train_spot.py/"})"); }),
              HasSubstr("sagemaker_program train_spot.py/: is no script"));
}

TEST(SageMakerPlan, OneSettingHasOneValue) {
  EXPECT_THAT(error_of([] { plan_of(R"({"batch-size": "32", "batch_size": "64"})"); }),
              HasSubstr("hyperparameters batch-size and batch_size: are one setting with two"));
  EXPECT_THAT(error_of([] { plan_of(R"({"lr": "0.1", "learning_rate": "0.2"})"); }),
              HasSubstr("learning_rate and lr: are one setting"));
  EXPECT_EQ(plan_of(R"({"batch-size": "64", "batch_size": "\"64\""})").flags.batch_size, 64);
}

TEST(SageMakerPlan, WhatStartsNoProcessesIsSaid) {
  const Plan plan = plan_of(R"({"sagemaker_distributed_dataparallel_enabled": "true"})");
  EXPECT_EQ(plan.flags.ranks, 0);
  EXPECT_THAT(plan.ignored, ElementsAre(HasSubstr("starts no processes here")));
}

TEST(SageMakerPlan, TheCommandLineWinsHoweverANameIsSpelt) {
  const Plan plan = plan_of(R"({"batch_size": "16", "lr": "0.1", "epochs": "3"})",
                            {"--batch-size", "8", "--learning-rate=0.5", "--nesterov"});
  EXPECT_EQ(plan.flags.batch_size, 8);
  EXPECT_EQ(plan.flags.lr, 0.5);
  EXPECT_EQ(plan.flags.epochs, 3);
  EXPECT_TRUE(plan.flags.nesterov);
  EXPECT_EQ(plan.hyperparameters,
            Json({{"batch-size", 8}, {"learning-rate", 0.5}, {"epochs", 3}, {"nesterov", true}}));
}

class SageMakerChannels : public TempFolderTest {
 protected:
  // A file of each channel; what is in it does not count for a plan.
  Plan plan_with(const std::vector<std::string>& files, const std::string& hyperparameters = "{}",
                 const std::string& hosts = "") {
    const ContainerPaths paths(folder());
    std::filesystem::remove_all(paths.data());
    Json channels = Json::object();
    for (const std::string& file : files) {
      make_directories((paths.data() / file).parent_path());
      write_file_atomic(paths.data() / file, std::string_view("x"));
      channels[file.substr(0, file.find('/'))] = {{"S3DistributionType", "ShardedByS3Key"}};
    }
    return make_plan(
        parse_job(
            {.hyperparameters = hyperparameters, .resources = hosts, .channels = channels.dump()}),
        paths, {});
  }
  std::string data(const char* channel = "") { return folder() / "input/data" / channel; }
};

TEST_F(SageMakerChannels, ThoseOfMnistAreItsScript) {
  const Plan plan = plan_with(
      {"training/train-images-idx3-ubyte.gz", "training/train-labels-idx1-ubyte.gz", "testing/x"});
  EXPECT_EQ(plan.script->program, "mnist.py");
  EXPECT_EQ(Path(plan.flags.data), folder() / "input/data");
  EXPECT_THAT(plan.ignored, ElementsAre());
}

TEST_F(SageMakerChannels, OneOfTestPicturesIsTheTestSet) {
  const std::pair<const char*, const char*> layouts[] = {
      {"data_batch_1", "test_batch"},
      {"cifar-10-batches-bin/data_batch_1.bin", "test_batch.bin"},
      {"cat/1.png", "cat/2.png"}};
  for (const auto& [train_file, test_file] : layouts)
    for (const std::string train : {"training", "train"})
      for (const std::string test : {"testing", "test", "validation"}) {
        const Plan plan = plan_with({train + "/" + train_file, test + "/" + test_file, "more/x"});
        EXPECT_EQ(plan.script->program, "train.py");
        EXPECT_EQ(Path(plan.flags.data), folder() / "input/data");
        EXPECT_THAT(plan.channels, ElementsAre(train, test));
        EXPECT_THAT(plan.ignored, ElementsAre(StartsWith("channel more is not read")));
      }
}

TEST_F(SageMakerChannels, OneThatFitsNoTrainingPicturesIsNotRead) {
  const std::vector<std::string> pairs[] = {
      {"training/data_batch_1", "testing/test_batch.bin"},
      {"training/data_batch_1", "testing/x"},
      {"training/cifar-10-python.tar.gz", "testing/cifar-10-python.tar.gz"},
      {"training/cat/1.png", "train/cat/2.png", "testing/cat/3.png"}};
  for (const auto& files : pairs) {
    const Plan plan = plan_with(files);
    EXPECT_EQ(plan.script->program, "train.py");
    EXPECT_EQ(plan.flags.data, data("training"));
    EXPECT_THAT(plan.ignored, testing::Contains(StartsWith("channel testing is not read")));
  }
  const Plan named = plan_with({"training/cat/1.png", "testing/cat/2.png"},
                               "{\"data-dir\": \"" + data("testing") + "\"}");
  EXPECT_THAT(named.channels, ElementsAre("testing"));
}

TEST_F(SageMakerChannels, BothMustBeWholeOnEveryHost) {
  EXPECT_THAT(error_of([&] {
                plan_with({"train/cat/1.png", "test/cat/2.png"}, "{}", kTwoHosts);
              }),
              HasSubstr("inputdataconfig.json: test: is ShardedByS3Key"));
}

TEST(SageMakerPlan, WhatCannotBeDoneIsNamed) {
  const char* channel = R"({"training": {}})";
  const struct {
    std::string got, what;
  } table[] = {
      {error_of([] { plan_of(R"({"foo": "1"})"); }), "hyperparameter foo: is known neither"},
      {error_of([] { plan_of(R"({"config": "x"})"); }), "hyperparameter config: is known neither"},
      {error_of([] { plan_of(R"({"help": "1"})"); }), "hyperparameter help: is known neither"},
      {error_of([] { plan_of(R"({"epochs": "many"})"); }), "--epochs"},
      {error_of([] { plan_of(R"({"epochs": "0"})"); }), "--epochs: must be 1"},
      {error_of([] { plan_of(R"({"lr": "{\"a\": 1}"})"); }), "hyperparameter lr: is a list or"},
      {error_of([] { plan_of(R"({"sagemaker_program": "evil.py"})"); }), "evil.py: is no script"},
      {error_of([] { plan_of("{}", {"epochs"}); }), "epochs: is no setting"},
      {error_of([] { plan_of("{}", {}, R"({"a": {}, "b": {}})"); }),
       "channel training: is missing: there are a, b"},
      {error_of([] { plan_of("{}", {}, ""); }), "channel training: is missing; the job has no"},
      {error_of([&] { plan_of(R"({"ranks": "3"})", {}, channel, kTwoHosts); }),
       "ranks 3: cannot be shared equally by 2 hosts"},
      {error_of([&] { plan_of(R"({"comm": "threads"})", {}, channel, kTwoHosts); }),
       "comm threads: does not reach other hosts"},
      {error_of([&] {
         plan_of(R"({"sagemaker_mpi_num_of_processes_per_host": "0"})", {}, channel, kTwoHosts);
       }),
       "sagemaker_mpi_num_of_processes_per_host: is 0, which is not 1 to 1024"},
      {error_of([&] {
         plan_of(R"({"sagemaker_mpi_num_of_processes_per_host": "9223372036854775807"})", {},
                 channel, kTwoHosts);
       }),
       "which is not 1 to 1024"},
      {error_of([] { plan_of("{}", {}, kSharded, kTwoHosts); }),
       "inputdataconfig.json: training: is ShardedByS3Key"},
  };
  for (const auto& [got, what] : table) EXPECT_THAT(got, HasSubstr(what));
}

}  // namespace
}  // namespace kiln::sagemaker
