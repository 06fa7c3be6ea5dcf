// kiln-sagemaker-train, installed as `train`: a training job of SageMaker's container contract.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "apps/common/signals.h"
#include "apps/sagemaker-train/hosts.h"
#include "apps/sagemaker-train/narrator.h"
#include "apps/sagemaker-train/outcome.h"
#include "apps/sagemaker-train/plan.h"
#include "apps/sagemaker-train/variables.h"
#include "engine/comm/launch.h"
#include "engine/core/error.h"

namespace kiln::sagemaker {
namespace {

constexpr const char* kHelp =
    R"(Trains as a container of SageMaker does: reads the job from /opt/ml/input, writes the model to
/opt/ml/model and everything else to /opt/ml/output.

Usage: train [train] [--NAME VALUE]...

  --NAME VALUE   a hyperparameter that wins over hyperparameters.json: the names of the workshop's
                 scripts (epochs, batch_size, lr, ...) and those of kiln train
  --help         this text
  --version      the version

Environment:
  SAGEMAKER_BASE_DIR   takes the place of /opt/ml
  KILN_HOST_TIMEOUT    seconds that the hosts of a job wait for each other before it starts (3600)
  KILN_SSH_DIR         the pair of keys, id_ed25519 and .pub, by which they reach each other
                       (/etc/kiln/ssh)

The job's settings are shown at the start, unless its sagemaker_container_log_level is above 20.

The script that the job names (sagemaker_program) is a way of training with its own defaults and
log lines: train.py, train_spot.py, train_horovod.py, train_ddp.py, cifar10.py, mnist.py.
SIGTERM saves a checkpoint and the model, and ends with 0; a job that finds a checkpoint in
/opt/ml/checkpoints goes on from it, bit for bit.
Exit codes: 0 done, 1 failed; the reason stands in /opt/ml/output/failure.
Documentation: docs/sagemaker-training.md
)";

void print_line(const std::string& line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

// What a job says, in one line whatever it holds: a value must not pass for a line of the run.
std::string one_line(const std::string& text) { return printable(text, text.size()); }

// As the toolkit shows it; values are the job's own, no credentials are among them.
void print_environment(const Variables& variables) {
  const Json env = Json::parse(variables.at("SM_TRAINING_ENV"));
  print_line("Training Env:\n\n" + env.dump(4, ' ', true) + "\n\nEnvironment variables:\n");
  for (const auto& [name, value] : variables)
    if (name.starts_with("SM_")) print_line(name + "=" + one_line(value));
}

std::string command_of(const Plan& plan) {
  std::string command = one_line(plan.entry_point);
  for (const std::string& word : script_arguments(plan.hyperparameters))
    command += " " + one_line(word);
  return command;
}

void announce(const Plan& plan) {
  print_line("\nInvoking script with the following command:\n\n" + command_of(plan) + "\n");
  print_line("kiln " + version() + " stands for " + std::string(plan.script->program));
  print_line("kiln: " + std::string(plan.script->mended));
  for (const std::string& line : plan.ignored) print_line("kiln: " + line);
  std::fflush(stdout);
}

void export_variables(const Variables& variables) {
  for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
}

// The script for spot instances tells of its folder.
void make_checkpoint_folder(const Plan& plan, bool launched) {
  const std::string folder = checkpoint_folder(plan.flags).string();
  if (plan.script->story == Story::spot && !launched)
    print_line(std::filesystem::exists(folder) ? "Checkpointing directory " + folder + " exists"
                                               : "Creating Checkpointing directory " + folder);
  make_directories(folder);
}

// One of several processes that mpirun has started from this very program, which has told of the
// job and will tell of its end.
bool is_launched() {
  const RankEnvironment place = rank_environment();
  return place.launcher != RankEnvironment::Launcher::none && place.size > 1;
}

// A rank that is lost is told with its host.
int train_here(const Plan& plan, const std::vector<std::string>& command_line, SignalWatch& signals,
               Narrator& narrator) {
  try {
    return run_training(plan.flags, command_line, signals, &narrator);
  } catch (const Error& error) {
    const std::string cause = with_host(error.what(), plan);
    tell_leader(kCauseFile, cause);
    throw std::runtime_error(cause);
  }
}

int run(const ContainerPaths& paths, const std::vector<std::string>& command_line,
        const std::vector<std::string>& words, SignalWatch& signals) {
  const Job job = read_job(paths);
  const Plan plan = make_plan(job, paths, words);
  const Variables variables = sm_variables(job, paths, this_machine(), plan.entry_point,
                                           script_arguments(plan.hyperparameters));
  export_variables(variables);
  const bool launched = is_launched();
  if (!launched) {
    if (job.log_level() <= kInfoLevel) print_environment(variables);
    announce(plan);
  }
  for (const Path& folder : {paths.model(), paths.output_data()}) make_directories(folder);
  make_checkpoint_folder(plan, launched);
  if (!launched && plan.hosts.size() > 1) {
    const int code = run_host(plan, job.resources, paths, command_line, signals);
    if (std::filesystem::exists(paths.output() / "success"))
      print_line("Reporting training SUCCESS");
    return code;
  }
  const JobFiles files(paths, plan.flags, plan.script->story == Story::spot);
  // Where all hosts' files meet, only the first one has files of this name.
  if (rank_environment().rank == 0) {
    files.restore_metrics();
    if (const std::string line = files.set_foreign_checkpoint_aside(); !line.empty())
      print_line("kiln: " + line);
  }
  Narrator narrator(plan, stdout, &files);
  const int code = train_here(plan, command_line, signals, narrator);
  if (code == 0 && !launched) {
    write_success(paths);
    print_line("Reporting training SUCCESS");
  }
  return code;
}

ContainerPaths container_paths() {
  const char* base = std::getenv("SAGEMAKER_BASE_DIR");
  return ContainerPaths(base != nullptr && *base != '\0' ? base : "/opt/ml");
}

// The platform shows one sentence of a job that failed: that of the failure.
int report(const ContainerPaths& paths, const std::string& cause) {
  std::fflush(stdout);
  std::fprintf(stderr, "train: %s\n", cause.c_str());
  try {
    write_failure(paths, cause, 1);
  } catch (const Error& error) {
    std::fprintf(stderr, "train: %s\n", error.what());
  }
  return 1;
}

// The log is not what the job is for: one whose reader has gone, or whose disk is full, takes
// neither the model nor the success from it.
void do_without_log() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  const std::string why = errno_text(errno == 0 ? EIO : errno);
  std::fprintf(stderr, "train: standard output: lines are lost: %s; the job went on\n",
               why.c_str());
  if (std::freopen("/dev/null", "w", stdout) == nullptr) std::clearerr(stdout);
}

int train(int argc, char** argv) {
  SignalWatch signals(SIGUSR1);  // what mpirun hands on to its processes
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front() == "train") words.erase(words.begin());
  for (const std::string& word : words) {
    if (word == "--help" || word == "-h") return std::fputs(kHelp, stdout) < 0 ? 1 : 0;
    if (word == "--version") return std::printf("train (kiln) %s\n", version().c_str()) < 0 ? 1 : 0;
  }
  const ContainerPaths paths = container_paths();
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const int code = run(paths, {argv, argv + argc}, words, signals);
    do_without_log();
    if (code != 0 && code != 130 && !is_launched())
      write_failure(paths, "a process of the job failed; its own line is in the log", code);
    return code == 0 || code == 130 ? code : 1;
  } catch (const std::bad_alloc&) {
    return report(paths, "out of memory: the job needs more than this instance has");
  } catch (const std::exception& error) {
    return report(paths, error.what());
  }
}

}  // namespace
}  // namespace kiln::sagemaker

int main(int argc, char** argv) {
  return kiln::run_app("train", argc, argv, kiln::sagemaker::train);
}
