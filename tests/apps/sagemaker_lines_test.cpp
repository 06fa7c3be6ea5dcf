// What a training job tells: the lines of its log, and the files of its outcome.
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/sagemaker-train/narrator.h"
#include "apps/sagemaker-train/outcome.h"
#include "models/safetensors.h"
#include "tests/apps/sagemaker_plan.h"
#include "tests/support/temp_folder.h"

namespace kiln::sagemaker {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// The lines of one epoch of `batches` batches, the losses of which are 1, 2, 3, ...
std::string story_of(const std::string& program, std::int64_t batch_size, std::int64_t pictures,
                     const std::string& more = "") {
  const Plan plan = plan_of("{\"sagemaker_program\": \"" + program + "\", \"batch-size\": \"" +
                            std::to_string(batch_size) + "\"" + more + "}");
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&text, &size);
  Narrator narrator(plan, out);
  const std::int64_t batches = (pictures + batch_size - 1) / batch_size;
  narrator.ready(
      {.device = "cpu", .train_count = pictures, .test_count = 200, .batch_count = batches});
  narrator.epoch_began(1, batches);
  double sum = 0.0;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    const std::int64_t done = std::min((batch + 1) * batch_size, pictures);
    sum += static_cast<double>(batch + 1) * static_cast<double>(done - batch * batch_size);
    narrator.step_done(batch, sum / static_cast<double>(done), 0.5, 1.0);
  }
  narrator.checkpoint_saved("/opt/ml/checkpoints/checkpoint.safetensors", {});
  narrator.epoch_ended({.epoch = 1, .test_loss = 1.25, .test_accuracy = 0.095});
  narrator.saved("/opt/ml/model");
  std::fclose(out);
  std::string told(text, size);
  std::free(text);
  return told;
}

TEST(SageMakerNarrator, TheClassicScriptTellsEvery2000Batches) {
  EXPECT_EQ(story_of("train.py", 1, 4500),
            "Device Type: cpu\n"
            "###### Loading Cifar10 dataset\n"
            "Model network loaded from get_model_network()\n"
            "Training starts until epochs of 1\n"
            "[1,  2000] loss: 1000.500\n"
            "[1,  4000] loss: 3000.500\n"
            "Test set: Average loss: 1.2500, Accuracy: 19/200 (10%)\n"
            "Training is finished\n"
            "the model is saved at /opt/ml/model/model.pth\n");
}

TEST(SageMakerNarrator, AShortEpochTellsItsLossAtItsEnd) {
  EXPECT_THAT(story_of("train.py", 2, 7), HasSubstr("[1,     4] loss: 2.286\n"));
}

TEST(SageMakerNarrator, TheOtherScripts) {
  const std::string spot = story_of("train_spot.py", 2, 8);
  EXPECT_THAT(spot, HasSubstr("\nepoch: 1 - loss: 4\n"));
  EXPECT_THAT(spot, HasSubstr("\nSaving the Checkpoint: /opt/ml/checkpoints/checkpoint.pth\n"));
  EXPECT_THAT(spot, HasSubstr("\nFinished Training\n"));
  const std::string horovod = story_of("train_horovod.py", 64, 50000);
  EXPECT_THAT(horovod, HasSubstr("\nProcesses 50000/50000 (100%) of train data\n"));
  EXPECT_THAT(horovod, HasSubstr("\nTrain Epoch: 1 [640/50000 (1%)] Loss: 10.000\n"));
  EXPECT_THAT(horovod, Not(HasSubstr("[0/50000")));
  EXPECT_THAT(horovod, HasSubstr("\nTest set: Average loss: 1.2500, Accuracy: 9.50%\n"));
  const std::string ddp = story_of("train_ddp.py", 128, 50000, R"(, "log-interval": "20")");
  EXPECT_THAT(ddp, HasSubstr("\nTrain Epoch: 1 [48640/50000 (97%)] Loss: 381.000000\n"));
  EXPECT_THAT(ddp, HasSubstr("\nTest set: Average loss: 1.2500, Accuracy: 19/200 (10%)\n"));
  const std::string mnist = story_of("mnist.py", 64, 6400, R"(, "log-interval": "50")");
  EXPECT_THAT(mnist, HasSubstr("\nTrain Epoch: 1 [3200/6400 (50%)] Loss: 50.000000\n"));
  EXPECT_THAT(mnist, HasSubstr("\nTest set: Average loss: 1.2500, Accuracy: 19/200, 9.5)\n"));
  EXPECT_THAT(mnist, Not(HasSubstr("Cifar10")));
  EXPECT_THAT(story_of("cifar10.py", 2, 8), HasSubstr("\nFinished Training\n"));
  for (const std::string& text : {spot, horovod, ddp, mnist})
    EXPECT_EQ(text.find_first_of("\t\r"), text.npos);
}

using SageMakerFiles = TempFolderTest;

TEST_F(SageMakerFiles, AResumedRunSaysSo) {
  const Path checkpoint = folder() / "checkpoint.safetensors";
  write_safetensors(checkpoint, {}, {{"last_loss", "0x1.b0eb7ap-1"}});
  const Plan plan = plan_of(R"({"sagemaker_program": "train_spot.py", "epochs": "10"})");
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&text, &size);
  Narrator narrator(plan, out);
  narrator.ready({.device = "cpu",
                  .train_count = 16000,
                  .batch_count = 4000,
                  .checkpoint = checkpoint,
                  .position = {.epoch = 5,
                               .epoch_step = 1000,
                               .step = 21000,
                               .epoch_loss_sum = 4000.0,
                               .epoch_image_count = 4000}});
  narrator.epoch_began(6, 4000);
  narrator.step_done(1999, 2.0, 0.5, 1.0);  // 8,000 pictures, of which 4,000 are new: 3 each
  std::fclose(out);
  const std::string told(text, size);
  std::free(text);
  EXPECT_THAT(told, HasSubstr("\nCheckpoint file found!\nLoading Checkpoint From: " +
                              (folder() / "checkpoint.pth").string() +
                              "\nCheckpoint File Loaded - epoch_number: 5 - loss: "
                              "0.84554654359817505\nResuming training from epoch: 6\n"));
  EXPECT_THAT(told, HasSubstr("\n[6,  2000] loss: 3.000\n"));
}

using SageMakerOutcome = TempFolderTest;

TEST_F(SageMakerOutcome, AFailureIsShortAndTheFirstOneStays) {
  const ContainerPaths paths(folder());
  const Path file = paths.output() / "failure";
  std::string cause = "data: is wrong " + std::string(1100, 'x');
  for (std::size_t i = 0; i < 200; ++i) cause.replace(900 + 2 * i, 2, "\u00e4");
  write_failure(paths, cause, 1);
  const std::string text = read_text_file(file, 4096);
  EXPECT_LE(text.size(), 1024u);
  EXPECT_GE(text.size(), 1020u);
  EXPECT_THAT(text, StartsWith("data: is wrong xxx"));
  EXPECT_THAT(text, testing::EndsWith("\u00e4\nExitCode 1\n")) << "no half of a character";
  write_failure(paths, "second", 1);
  EXPECT_EQ(read_text_file(file, 4096), text);
  write_success(paths);
  EXPECT_EQ(std::filesystem::file_size(paths.output() / "success"), 0u);
}

}  // namespace
}  // namespace kiln::sagemaker
